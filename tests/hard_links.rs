//! Logs whose files have a second name, as after a backup with `cp -al` (`docs/durability.md`,
//! "Hard links").

use std::io;
use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn, Wal, WalOptions};
use tidewal_testing::support::{DIR, options, run};

/// What is done to a log after its files were linked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deed {
    Append,
    Rotate,
    Truncate,
    Reopen,
}

const DEEDS: [Deed; 4] = [Deed::Append, Deed::Rotate, Deed::Truncate, Deed::Reopen];

const BIG: &[u8] = &[7; 7000];

fn without_spares() -> WalOptions {
    options().spare_segments(0)
}

async fn open(disk: &SimDisk) -> Wal {
    without_spares().open_on(disk, DIR).await.unwrap()
}

/// Two full segments and an open one.
async fn three_segments(disk: &SimDisk) -> Wal {
    let wal = open(disk).await;
    for _ in 0..5 {
        wal.append(BIG).await.unwrap();
    }
    wal
}

fn link_all(disk: &SimDisk) {
    for name in disk.files(DIR) {
        let (file, second) = (format!("{DIR}/{name}"), format!("backup/{name}"));
        disk.hard_link(file, second).unwrap();
    }
}

fn contents(disk: &SimDisk, dir: &str) -> Vec<(String, Option<Vec<u8>>)> {
    let names = disk.files(dir).into_iter();
    names
        .map(|name| (name.clone(), disk.read(format!("{dir}/{name}"))))
        .collect()
}

async fn perform(disk: &SimDisk, wal: Wal, deed: Deed) -> Wal {
    match deed {
        Deed::Append => drop(wal.append("small").await.unwrap()),
        Deed::Rotate => {
            for _ in 0..3 {
                wal.append(BIG).await.unwrap();
            }
        }
        Deed::Truncate => {
            let end = wal.durable_lsn().next();
            wal.truncate_before(end).await.unwrap();
        }
        Deed::Reopen => {
            wal.close().await.unwrap();
            return open(disk).await;
        }
    }
    wal
}

async fn last_of(disk: &SimDisk, dir: &str) -> Lsn {
    let mut reader = options().read_on(disk, dir).await.unwrap();
    while reader.try_next().await.unwrap().is_some() {}
    reader.report().end
}

/// A truncation put a copy under the name of the open segment, and the next append found a
/// different file there.
#[test]
fn regression_whatever_is_done_to_an_open_log_with_a_second_name_keeps_it_working() {
    for (first, second) in DEEDS.iter().flat_map(|&a| DEEDS.map(|b| (a, b))) {
        run(async {
            println!("{first:?}, {second:?}");
            let disk = SimDisk::new(1);
            let wal = three_segments(&disk).await;
            link_all(&disk);
            let wal = perform(&disk, wal, first).await;
            let wal = perform(&disk, wal, second).await;
            let last = wal.append("the log works").await.unwrap();
            wal.close().await.unwrap();
            assert_eq!(last_of(&disk, DIR).await, last);
        });
    }
}

#[test]
fn whatever_is_done_to_a_log_that_was_closed_its_backup_stays_as_it_was() {
    for (first, second) in DEEDS.iter().flat_map(|&a| DEEDS.map(|b| (a, b))) {
        run(async {
            println!("{first:?}, {second:?}");
            let disk = SimDisk::new(1);
            three_segments(&disk).await.close().await.unwrap();
            link_all(&disk);
            let before = contents(&disk, "backup");
            let wal = perform(&disk, open(&disk).await, first).await;
            let wal = perform(&disk, wal, second).await;
            wal.close().await.unwrap();
            assert!(contents(&disk, "backup") == before, "the backup changed");
        });
    }
}

/// How a log ended before its files were linked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Closed,
    /// Killed after its mark was written, which proves its records durable.
    KilledIdle,
    KilledBusy,
}

async fn full_disk_with_second_names(end: End) -> SimDisk {
    let disk = SimDisk::new(1);
    let wal = three_segments(&disk).await;
    match end {
        End::Closed => wal.close().await.unwrap(),
        End::KilledIdle => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            disk.kill();
        }
        End::KilledBusy => disk.kill(),
    }
    link_all(&disk);
    disk.set_quota(Some(1));
    disk
}

async fn truncate_and_close(disk: &SimDisk) {
    let wal = open(disk).await;
    let end = wal.durable_lsn();
    assert_eq!(end.get(), 5);
    wal.truncate_before(end.next()).await.unwrap();
    wal.close().await.unwrap();
    assert_eq!(last_of(disk, DIR).await, end);
    assert_eq!(last_of(disk, "backup").await, end);
}

/// A copy takes space that a full disk does not have.
#[test]
fn regression_a_full_disk_with_second_names_opens_and_truncates() {
    for end in [End::Closed, End::KilledIdle] {
        run(async {
            println!("{end:?}");
            let disk = full_disk_with_second_names(end).await;
            truncate_and_close(&disk).await;
        });
    }
}

/// What the cache holds of its last records may be their only copy, so it is not overwritten in
/// place.
#[test]
fn a_full_disk_opens_no_log_whose_records_must_be_copied_first() {
    run(async {
        let disk = full_disk_with_second_names(End::KilledBusy).await;
        let before = (contents(&disk, DIR), contents(&disk, "backup"));
        let refused = without_spares().open_on(&disk, DIR).await;
        let Err(Error::Io(fault)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(fault.io_error().kind(), io::ErrorKind::StorageFull);
        let path = fault.path().to_string_lossy();
        assert_eq!(path, format!("{DIR}/00000000000000000005.wal"));
        let reason = fault.io_error().to_string();
        assert!(
            reason
                .ends_with(": make room for a copy of 11116 bytes. Until then the log can be read"),
            "{reason}"
        );
        assert!((contents(&disk, DIR), contents(&disk, "backup")) == before);
        assert_eq!(last_of(&disk, DIR).await.get(), 5);
        disk.set_quota(None);
        truncate_and_close(&disk).await;
    });
}
