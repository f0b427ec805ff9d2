//! Rotation, truncation, and spare files.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::join_all;
use tidewal::Lsn;
use tidewal::sim::SimDisk;

use crate::helpers::{
    assert_dense, assert_records, assert_report, ending, log_of, payload, recover, recover_dir,
    segments,
};
use crate::support::{DIR, options, run, spares, within_a_minute};

#[test]
fn a_log_rotates_through_many_small_segments() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            for number in 1..=100 {
                assert_eq!(wal.append(big(number)).await.unwrap(), Lsn::new(number));
            }
            assert_eq!(wal.stats().segments, 100);
            wal.close().await.unwrap();
            assert_eq!(names(dir.path(), ".wal").len(), 100);
            let (records, report) = recover_dir(dir.path()).await;
            let payloads = records.iter().map(|record| record.payload.to_vec());
            assert!(payloads.eq((1..=100).map(big)));
            assert_eq!((report.segments, report.torn_tail), (100, None));
        });
    });
}

#[test]
fn many_producers_share_many_small_segments() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let answers = join_all((0..300).map(|_| wal.append([7; 500].as_slice()))).await;
        let lsns: BTreeSet<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
        assert_eq!(lsns.len(), 300);
        assert!(wal.stats().segments > 10, "{:?}", wal.stats());
        wal.close().await.unwrap();
        assert_dense(&recover(&options(), &disk).await.0, 1..=300);
    });
}

#[test]
fn truncating_keeps_the_use_of_the_disk_flat() {
    for spares in [0, 1, 3] {
        within_a_minute(move || {
            let dir = tempfile::tempdir().unwrap();
            let options = options().spare_segments(spares);
            block_on(async {
                let wal = options.open(dir.path()).await.unwrap();
                for number in 1..=50 {
                    // Each record takes a segment.
                    let lsn = wal.append(big(number)).await.unwrap();
                    wal.truncate_before(lsn).await.unwrap();
                    let segments = names(dir.path(), ".wal");
                    assert_eq!(segments, [format!("{number:020}.wal")]);
                    // One spare may be in the making besides the ready ones.
                    assert!(names(dir.path(), ".spare").len() <= spares + 1);
                }
                wal.close().await.unwrap();
                let (records, report) = recover_dir(dir.path()).await;
                assert_eq!(records.len(), 1);
                assert_eq!((report.segments, report.oldest), (1, Lsn::new(50)));
            });
        });
    }
}

#[test]
fn truncating_never_touches_a_record_at_or_above_the_mark() {
    run(async {
        let disk = log_of(30).await;
        for mark in 1..=31 {
            let disk = disk.fork();
            let wal = options().open_on(&disk, DIR).await.unwrap();
            wal.truncate_before(Lsn::new(mark)).await.unwrap();
            wal.close().await.unwrap();
            let (records, report) = recover(&options(), &disk).await;
            let oldest = report.oldest.get();
            assert!(oldest <= mark.min(30));
            assert_records(&records, oldest..=30);
            let next = segments(&disk).get(1).copied();
            assert!(next.is_none_or(|base| base > mark), "whole segments go");
        }
    });
}

#[test]
fn a_truncated_log_rotates_and_recovers() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for number in 1..=60 {
            wal.append(payload(number)).await.unwrap();
            if number % 7 == 0 {
                wal.truncate_before(Lsn::new(number - 5)).await.unwrap();
            }
        }
        wal.close().await.unwrap();
        let (records, report) = recover(&options(), &disk).await;
        let oldest = report.oldest.get();
        assert!((2..=51).contains(&oldest), "{oldest}");
        assert_records(&records, oldest..=60);
        assert_report(&disk, &report, oldest..=60);
    });
}

#[test]
fn spares_are_made_once_the_log_has_a_segment_and_used_for_the_next() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(2);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        let_it_work().await;
        assert!(spares(&disk).is_empty(), "an idle log makes no files");
        wal.append(big(1)).await.unwrap();
        let_it_work().await;
        let ready = spares(&disk);
        assert_eq!(ready.len(), 2);
        for number in 2..=3 {
            wal.append(big(number)).await.unwrap();
        }
        let left: HashSet<_> = spares(&disk).into_iter().collect();
        assert!(ready.iter().all(|name| !left.contains(name)), "{left:?}");
        let_it_work().await;
        assert_eq!(spares(&disk).len(), 2, "they are replaced");
        wal.close().await.unwrap();
    });
}

#[test]
fn a_log_that_holds_little_takes_the_space_of_one_segment() {
    run(async {
        let disk = SimDisk::new(1);
        let size = 256 * 1024;
        let options = options().segment_size(size).spare_segments(1);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        for number in 1..=3 {
            wal.append(payload(number)).await.unwrap();
            wal.rotate().await.unwrap();
            let_it_work().await;
            assert!(spares(&disk).is_empty(), "{:?}", disk.files(DIR));
        }
        // With its header block, an eighth of it is filled by seven records of 4 KiB.
        for number in 1..=7 {
            wal.append(vec![0; 4096]).await.unwrap();
            let_it_work().await;
            assert_eq!(spares(&disk).len(), usize::from(number == 7), "{number}");
        }
        wal.close().await.unwrap();
    });
}

#[test]
fn spares_are_made_on_the_real_disk() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            let mut number = 0;
            while names(dir.path(), ".spare").is_empty() {
                number += 1;
                assert_eq!(wal.append(big(number)).await.unwrap(), Lsn::new(number));
            }
            wal.close().await.unwrap();
            assert_eq!(recover_dir(dir.path()).await.0.len() as u64, number);
        });
    });
}

#[test]
fn a_log_without_spares_makes_none() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(0);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        for number in 1..=10 {
            wal.append(big(number)).await.unwrap();
            assert!(spares(&disk).is_empty());
        }
        wal.truncate_before(Lsn::new(10)).await.unwrap();
        wal.close().await.unwrap();
        assert!(spares(&disk).is_empty());
    });
}

#[test]
fn truncated_segments_become_spares_and_then_segments_again() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().spare_segments(0).open_on(&disk, DIR).await;
        let wal = wal.unwrap();
        for _ in 1..=10 {
            wal.append(vec![OLD; 12_000]).await.unwrap();
        }
        wal.close().await.unwrap();

        let options = options().spare_segments(3);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.truncate_before(Lsn::new(11)).await.unwrap();
        let recycled = spares(&disk);
        // As many recycled files as ready spares.
        assert_eq!(recycled.len(), 6, "{:?}", disk.files(DIR));
        assert!(recycled.iter().all(|name| holds_old_records(&disk, name)));

        for number in 11..=13 {
            assert_eq!(wal.append(big(number)).await.unwrap(), Lsn::new(number));
            let segment = format!("{number:020}.wal");
            assert!(holds_old_records(&disk, &segment), "behind the new ones");
        }
        wal.close().await.unwrap();
        let (records, _) = recover(&options.start_at(Lsn::new(11)), &disk).await;
        let payloads = records.iter().map(|record| record.payload.to_vec());
        assert!(payloads.eq((11..=13).map(big)));
    });
}

#[test]
fn truncated_segments_of_another_size_are_not_recycled() {
    run(async {
        for size in [20 * 1024, 32 * 1024] {
            let disk = log_of(30).await;
            let options = options().segment_size(size).spare_segments(3);
            let wal = options.open_on(&disk, DIR).await.unwrap();
            wal.truncate_before(Lsn::new(31)).await.unwrap();
            assert_eq!(segments(&disk).len(), 1);
            assert!(spares(&disk).is_empty(), "{:?}", disk.files(DIR));
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn spares_of_an_earlier_process_are_replaced() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(2);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.append("first").await.unwrap();
        let_it_work().await;
        assert_eq!(spares(&disk).len(), 2);
        let killed = disk.fork();
        killed.kill();
        wal.close().await.unwrap();

        let (disk, size) = (killed, 20 * 1024);
        let wal = options.segment_size(size).open_on(&disk, DIR).await;
        let wal = wal.unwrap();
        wal.append("second").await.unwrap();
        let_it_work().await;
        let left = spares(&disk).into_iter();
        assert_eq!(left.len(), 2);
        let files = left.chain(["00000000000000000002.wal".into()]);
        for name in files {
            let bytes = disk.read(Path::new(DIR).join(&name)).unwrap();
            assert_eq!(bytes.len() as u64, size, "{name}");
        }
        wal.close().await.unwrap();
        assert_eq!(recover(&crate::support::options(), &disk).await.0.len(), 2);
    });
}

#[test]
fn a_closed_log_leaves_no_spares() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(2);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        for number in 1..=8 {
            wal.append(big(number)).await.unwrap();
        }
        let_it_work().await;
        // Two new ones are ready, so the truncated segments are in stock.
        wal.truncate_before(Lsn::new(8)).await.unwrap();
        assert_eq!(spares(&disk).len(), 4, "{:?}", disk.files(DIR));
        wal.close().await.unwrap();
        assert!(spares(&disk).is_empty(), "{:?}", disk.files(DIR));
    });
}

/// Whether a file holds bytes of truncated records.
fn holds_old_records(disk: &SimDisk, name: &str) -> bool {
    let bytes = disk.read(Path::new(DIR).join(name)).unwrap();
    bytes.windows(100).any(|window| window == [OLD; 100])
}

const OLD: u8 = 0xdd;

/// A payload that takes more than half of a segment.
fn big(number: u64) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); 7000]
}

/// The names with this suffix in a directory of the real disk, sorted.
fn names(dir: &Path, suffix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found = ending(names.collect(), suffix);
    found.sort();
    found
}

/// Lets the log finish its background work: virtual time advances only once all tasks wait.
async fn let_it_work() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}
