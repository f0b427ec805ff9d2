//! What a store says no to, how much is asked of it, and how much of it is read.

use std::time::Duration;

use tidewal_archive::{Error, RestoreTarget};

use crate::helpers::{append, archived, open, quick, restore, start};
use crate::store::{Mishap, Store};
use crate::support::run;

/// Ships as a program does that ends when everything is there. Returns how many calls that took.
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

/// Each run added a claim and read all entries, so that three hundred took three hundred requests each.
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

/// A log without a segment has nothing to ship, and one whose archive is another log's is refused.
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

/// The one that ships last goes on, if both claim late.
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
        assert!(ended > 0, "both went on");
        assert!(store.archive().verify().await.unwrap().is_sound());
    });
}

/// A permission may be given while a service runs, so that its archiver goes on trying; but nothing else
/// mends it, and that can be told.
#[test]
fn regression_what_a_store_forbids_is_told_from_what_passes() {
    run(async {
        let (disk, store) = archived(6).await;
        for (mishap, is_transient) in [
            (Mishap::Denied, false),
            (Mishap::Before, true),
            (Mishap::Hang, true),
        ] {
            store.set(Some(mishap));
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

/// The length of an object is known before it is read: a wrong one was read into memory.
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
            // So much memory there is not. It takes no space.
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
