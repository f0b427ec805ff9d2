//! Calls that a store refuses, how many calls are made, and how much is read.

use std::time::Duration;

use tidewal_archive::{Error, RestoreTarget};

use crate::helpers::{append, archived, open, quick, restore, start};
use crate::store::{Fault, Store};
use crate::support::run;

/// Ships like a program that exits when everything is shipped. Returns the number of calls.
async fn ship_once(disk: &tidewal::sim::SimDisk, store: &Store) -> u64 {
    let before = store.calls();
    let wal = open(disk).await;
    let archiver = start(&wal, store, quick().lazy_claim(true));
    archiver.wait_caught_up().await.unwrap();
    drop(archiver);
    wal.close().await.unwrap();
    store.archive().check_manifest().await.unwrap();
    store.calls() - before
}

/// Each run added a claim and read all entries, so after three hundred runs each run made three hundred requests.
#[test]
fn regression_runs_without_news_cost_the_same_and_leave_nothing() {
    run(async {
        let (disk, store) = archived(23).await;
        let names = store.names().await;
        let first = ship_once(&disk, &store).await;
        assert!(first <= 4, "{first} calls");
        for _ in 0..20 {
            assert_eq!(ship_once(&disk, &store).await, first);
        }
        assert_eq!(store.names().await, names);
        let wal = open(&disk).await;
        append(&wal, 24..=30).await;
        wal.close().await.unwrap();
        ship_once(&disk, &store).await;
        assert_eq!(store.archive().contents().await.unwrap().end.get(), 30);
        assert_eq!(ship_once(&disk, &store).await, first);
    });
}

/// A log without a segment has nothing to ship. A log under whose prefix there is the archive of another log is
/// refused.
#[test]
fn a_late_claim_refuses_what_an_early_one_does() {
    run(async {
        let (_, store) = archived(6).await;
        let other = tidewal::sim::SimDisk::new(9);
        let wal = open(&other).await;
        append(&wal, 1..=1).await;
        let archiver = start(&wal, &store, quick().lazy_claim(true));
        let refused = archiver.wait_caught_up().await;
        assert!(matches!(refused, Err(Error::Foreign { .. })), "{refused:?}");
    });
}

/// If two archivers claim late, the one that ships last continues.
#[test]
fn of_two_that_claim_late_one_goes_on() {
    run(async {
        let (disk, store) = archived(6).await;
        let (first, second) = (disk.fork(), disk.fork());
        let mut ended = 0;
        let mut running = Vec::new();
        for disk in [&first, &second] {
            let wal = open(disk).await;
            let archiver = start(&wal, &store, quick().lazy_claim(true));
            archiver.wait_caught_up().await.unwrap();
            running.push((wal, archiver));
        }
        for (wal, archiver) in &running {
            append(wal, 7..=20).await;
            ended += u32::from(archiver.wait_caught_up().await.is_err());
        }
        for (wal, archiver) in &running {
            append(wal, 21..=30).await;
            ended += u32::from(archiver.wait_caught_up().await.is_err());
        }
        assert!(ended > 0, "both continued");
        assert!(store.archive().verify().await.unwrap().is_sound());
    });
}

/// A permission may be granted while a service runs, so its archiver keeps retrying. But the error says that a retry
/// alone cannot help.
#[test]
fn regression_what_a_store_forbids_is_told_from_what_passes() {
    run(async {
        let (disk, store) = archived(6).await;
        for (fault, is_transient) in [
            (Fault::Denied, false),
            (Fault::Before, true),
            (Fault::Hang, true),
        ] {
            store.set(Some(fault));
            let wal = open(&disk).await;
            let archiver = start(&wal, &store, quick());
            tokio::time::sleep(Duration::from_secs(100)).await;
            let error = archiver.status().last_error.unwrap();
            assert_eq!(error.is_transient(), is_transient, "{error:?}");
            assert!(archiver.status().end.is_none());
            store.set(None);
            archiver.wait_caught_up().await.unwrap();
            wal.close().await.unwrap();
        }
        assert!(!Error::Busy.is_transient());
    });
}

/// An object of the wrong length was read into memory, although its length is known before it is read.
#[test]
fn regression_an_object_of_another_length_is_not_read() {
    run(async {
        let (_, store) = archived(6).await;
        for name in store.names().await {
            let dir = tempfile::tempdir().unwrap();
            let local = object_store::local::LocalFileSystem::new_with_prefix(dir.path());
            let disk = Store::over(std::sync::Arc::new(local.unwrap()));
            for name in store.names().await {
                disk.write(&name, store.read(&name).await).await;
            }
            // More than the memory of any machine. The file is sparse and takes no space.
            let file = std::fs::File::options()
                .write(true)
                .open(dir.path().join(&name));
            file.unwrap().set_len(1 << 42).unwrap();
            let restored = restore(&disk, RestoreTarget::End).await;
            assert!(
                matches!(&restored, Err(Error::Damaged { object, .. }) if *object == name),
                "{restored:?}"
            );
        }
    });
}
