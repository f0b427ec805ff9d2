//! Segments that are missing, or that do not link to their neighbors.

use futures::TryStreamExt;
use tidewal::sim::SimDisk;
use tidewal::{CorruptionKind, Lsn};

use crate::helpers::{
    Expected, FRAME_HEADER_LEN, HEADER_BLOCK_LEN, PAYLOAD_LEN, PER_SEGMENT, assert_records,
    collect, damaged_header, fill, fill_from, log_of, payload, records_and_error, recovery_error,
    segment, truncated_log,
};
use crate::support::{DIR, options, run};

#[test]
fn a_renamed_segment_is_damage() {
    run(async {
        for (from, to) in [(1, 2), (5, 6), (9, 10), (9, 13), (9, u64::MAX)] {
            let disk = log_of(3).await;
            let bytes = disk.read(segment(from)).unwrap();
            disk.remove_file(segment(from));
            disk.write_file(segment(to), bytes);
            let expected = Expected {
                damage: CorruptionKind::NameMismatch,
                ..damaged_header(to)
            };
            expected.assert_found(&disk).await;
        }
    });
}

#[test]
fn a_missing_segment_in_the_middle_is_damage() {
    run(async {
        let disk = log_of(4).await;
        disk.remove_file(segment(5));
        disk.remove_file(segment(9));
        let expected = Expected {
            damage: CorruptionKind::ChainBroken,
            segment: 13,
            offset: 0,
            first: 1,
            last: 12,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_missing_oldest_segment_is_damage() {
    run(async {
        let disk = log_of(3).await;
        disk.remove_file(segment(1));
        let expected = Expected {
            damage: CorruptionKind::PredecessorMissing,
            segment: 5,
            offset: 0,
            first: 1,
            last: 4,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_missing_oldest_segment_of_a_truncated_log_is_damage() {
    run(async {
        let disk = truncated_log().await;
        disk.remove_file(segment(5));
        let expected = Expected {
            damage: CorruptionKind::PredecessorMissing,
            segment: 9,
            offset: 0,
            first: 1,
            last: 8,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_missing_newest_segment_is_damage() {
    run(async {
        let disk = log_of(3).await;
        disk.remove_file(segment(9));
        let expected = Expected {
            damage: CorruptionKind::SuccessorMissing,
            segment: 5,
            offset: HEADER_BLOCK_LEN + PER_SEGMENT * (FRAME_HEADER_LEN + PAYLOAD_LEN),
            first: 9,
            last: 0,
        };
        expected.assert_found(&disk).await;
        let (delivered, _) = records_and_error(&disk).await;
        assert_records(&delivered, 1..=8);
    });
}

#[test]
fn a_segment_of_another_log_is_damage() {
    run(async {
        // A broken link is reported for the newer segment.
        for (foreign, named) in [(1, 5), (5, 9), (9, 9)] {
            let disk = log_of(3).await;
            let other = SimDisk::new(2);
            fill(&other, 3).await;
            disk.write_file(segment(foreign), other.read(segment(foreign)).unwrap());
            let expected = Expected {
                damage: CorruptionKind::ForeignSegment,
                segment: named,
                offset: 0,
                first: named,
                last: named - 1,
            };
            expected.assert_found(&disk).await;
        }
    });
}

#[test]
fn a_segment_of_another_log_below_the_oldest_is_damage() {
    run(async {
        let disk = truncated_log().await;
        let other = SimDisk::new(2);
        fill(&other, 1).await;
        disk.write_file(segment(1), other.read(segment(1)).unwrap());
        let expected = Expected {
            damage: CorruptionKind::ForeignSegment,
            segment: 1,
            offset: 0,
            first: 1,
            last: 0,
        };
        expected.assert_found(&disk).await;
    });
}

/// A file that the log does not need must not prevent opening. It was an error before, whatever was
/// wrong with the file.
#[test]
fn regression_a_leftover_of_truncation_that_is_no_segment_keeps_no_log_from_opening() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, u64, Change); 6] = [
        ("its header is damaged", 1, |bytes| bytes[40] ^= 1),
        ("it is empty", 1, Vec::clear),
        ("it is short", 1, |bytes| bytes.truncate(5000)),
        ("it is of a later version", 1, |bytes| bytes[2000] = 1),
        ("it has another name", 2, |_| {}),
        ("it cannot be read", 3, |_| {}),
    ];
    for (what, base, change) in changes {
        run(async {
            println!("{what}");
            let disk = log_of(3).await;
            let mut old = disk.read(segment(1)).unwrap();
            let wal = options().open_on(&disk, DIR).await.unwrap();
            wal.truncate_before(Lsn::new(5)).await.unwrap();
            wal.close().await.unwrap();
            change(&mut old);
            disk.write_file(segment(base), old);
            if base == 3 {
                assert!(disk.make_unreadable(segment(base), 0, false));
            }
            let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
            let records: Vec<_> = (&mut recovery).try_collect().await.unwrap();
            assert_records(&records, 5..=12);
            let wal = recovery.into_wal().await.unwrap();
            assert_eq!(wal.append(payload(13)).await.unwrap(), Lsn::new(13));
            wal.close().await.unwrap();
            // Only files that certainly belong to the log are removed.
            assert_eq!(disk.files(DIR).contains(&name(base)), what != "it is short");
            let records = collect(&options(), &disk).await.unwrap();
            assert_records(&records, 5..=13);
        });
    }
}

fn name(base: u64) -> String {
    segment(base).file_name().unwrap().to_str().unwrap().into()
}

#[test]
fn an_earlier_life_of_a_segment_does_not_join_its_neighbour() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(payload(1)).await.unwrap();
        let fork = disk.fork();
        fork.reseed(7);
        wal.close().await.unwrap();
        fill_from(&disk, 2, 8).await;
        fill_from(&fork, 2, 8).await;
        disk.write_file(segment(2), fork.read(segment(2)).unwrap());
        let expected = Expected {
            damage: CorruptionKind::ChainBroken,
            segment: 6,
            offset: 0,
            first: 2,
            last: 5,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_truncated_segment_that_came_back_is_no_part_of_the_log() {
    run(async {
        let disk = log_of(3).await;
        let old = disk.read(segment(1)).unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.truncate_before(Lsn::new(5)).await.unwrap();
        wal.close().await.unwrap();
        disk.write_file(segment(1), old);
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let records: Vec<_> = (&mut recovery).try_collect().await.unwrap();
        assert_records(&records, 5..=12);
        assert!(disk.read(segment(1)).is_some(), "reading changes nothing");
        recovery.into_wal().await.unwrap().close().await.unwrap();
        assert!(disk.read(segment(1)).is_none(), "it was removed after all");
    });
}

#[test]
fn a_refused_log_can_be_recovered_once_it_is_whole_again() {
    run(async {
        let disk = log_of(3).await;
        let bytes = disk.read(segment(5)).unwrap();
        disk.remove_file(segment(5));
        recovery_error(&options(), &disk).await;
        disk.write_file(segment(5), bytes);
        let records = collect(&options(), &disk).await.unwrap();
        assert_records(&records, 1..=12);
    });
}
