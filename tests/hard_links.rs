//! Logs whose files have a second name, as after a backup with `cp -al` (`docs/durability.md`,
//! "Hard links").

use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal, WalOptions};
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

/// A copy takes space that a full disk does not have.
#[test]
fn regression_a_full_disk_with_second_names_opens_and_truncates() {
    for is_closed in [true, false] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = three_segments(&disk).await;
            if is_closed {
                wal.close().await.unwrap();
            } else {
                disk.kill();
                drop(wal);
            }
            link_all(&disk);
            disk.set_quota(Some(1));
            let wal = open(&disk).await;
            let end = wal.durable_lsn();
            assert_eq!(end.get(), 5);
            wal.truncate_before(end.next()).await.unwrap();
            wal.close().await.unwrap();
            assert_eq!(last_of(&disk, DIR).await, end);
            assert_eq!(last_of(&disk, "backup").await, end);
        });
    }
}
