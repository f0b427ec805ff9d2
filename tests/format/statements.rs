//! The statement of a segment, and when it counts.

use crate::cases::format::{Frame, LAG_UNKNOWN, LINK, MARK, PART, SEAL};
use crate::craft::{Read, Segment, append, disk_with, survey};

fn three_records() -> Segment {
    let segment = Segment::new(1, 16 * 1024);
    segment.record(b"a").record(b"b").record(b"c")
}

/// Regardless of its kind and LSN.
#[test]
fn no_statement_of_a_segment_with_a_successor_is_read() {
    for kind in [MARK, SEAL, LINK] {
        for lsn in [0, 1, 2, 3, 4, 1000] {
            let first = three_records().state(Frame::statement(kind, lsn));
            let second = first.successor(16 * 1024).record(b"d");
            let disk = disk_with(&[first, second]);
            let read = Read::of(&disk);
            assert_eq!((read.lsns(), read.label()), (vec![1, 2, 3, 4], None));
            assert!(survey(&disk).is_sound(), "kind {kind}, LSN {lsn}");
        }
    }
}

/// Length, checksum and lag of a statement mean nothing.
#[test]
fn only_kind_and_lsn_of_a_statement_count() {
    for lag in [0, 1, 3, 4, LAG_UNKNOWN] {
        let statement = |kind, lsn| Frame {
            lag,
            len: 77,
            payload_sum: 78,
            ..Frame::statement(kind, lsn)
        };
        for (kind, lsn, label) in [
            (MARK, 3, None),
            (MARK, 4, Some("proven-lost")),
            (SEAL, 3, None),
            (SEAL, 4, Some("proven-lost")),
            (LINK, 3, Some("successor-missing")),
            (LINK, 4, Some("proven-lost")),
        ] {
            let disk = disk_with(&[three_records().state(statement(kind, lsn))]);
            let read = Read::of(&disk);
            assert_eq!(
                (read.lsns(), read.label()),
                (vec![1, 2, 3], label),
                "lag {lag}"
            );
        }
    }
}

#[test]
fn a_seal_that_names_the_record_before_the_first_ends_the_log_before_it() {
    for base in [1, 9] {
        let sealed = Segment::new(base, 16 * 1024).state(Frame::statement(SEAL, base - 1));
        let disk = disk_with(&[sealed.record(b"left by a crash")]);
        let read = Read::of(&disk);
        assert_eq!((read.lsns(), read.label()), (vec![], None));
        let report = read.outcome.unwrap();
        assert_eq!((report.end.get(), report.torn_tail), (base - 1, None));
        assert_eq!(append(&disk).unwrap(), base);
    }
}

#[test]
fn a_seal_inside_an_atomic_batch_is_not_where_the_log_ends() {
    let segment = Segment::new(1, 16 * 1024).record(b"a");
    let segment = segment.frame(PART, b"b").record(b"c");
    let disk = disk_with(&[segment.state(Frame::statement(SEAL, 2))]);
    let read = Read::of(&disk);
    assert_eq!(
        (read.lsns(), read.label()),
        (vec![1, 2, 3], Some("sealed-damaged"))
    );
}
