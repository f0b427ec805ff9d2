//! Bytes that only a later version of the format can have written are refused, and never taken for
//! a torn tail or damage.

use std::slice::from_ref;

use tidewal::{Error, UnsupportedReason};

use crate::cases::format::{DATA_AT, Frame, LINK, MARK, PART, SEAL, STATEMENT_AT};
use crate::craft::{Read, Segment, append, disk_with, survey};
use crate::support::DIR;

/// Checks that every way to read the log ends with this error, and that nothing is changed.
#[track_caller]
fn assert_unsupported(segments: &[Segment], named: &Segment, lsns: &[u64], why: UnsupportedReason) {
    let disk = disk_with(segments);
    let before = disk.fingerprint();
    let read = Read::of(&disk);
    assert_eq!(read.lsns(), lsns);
    let survey = survey(&disk);
    assert!(survey.corruptions.is_empty(), "{:?}", survey.corruptions);
    let planned = tidewal::tools::LogDir::on(&disk, DIR).plan_repair();
    for error in [
        read.outcome.unwrap_err(),
        survey.read_errors[0].clone(),
        planned.unwrap_err(),
    ] {
        let Error::Unsupported {
            segment, reason, ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((segment.ends_with(named.name()), *reason), (true, why));
    }
    if segments
        .last()
        .is_some_and(|last| last.name() == named.name())
    {
        assert!(matches!(append(&disk), Err(Error::Unsupported { .. })));
    }
    assert_eq!(disk.fingerprint(), before, "nothing is changed");
}

fn two_segments() -> [Segment; 2] {
    let first = Segment::new(1, 16 * 1024).record(b"a").record(b"b");
    let second = first.successor(16 * 1024).record(b"c").record(b"d");
    [first, second]
}

#[test]
fn a_reserved_bit_of_a_header() {
    for index in [0, 1] {
        for at in [12, 15, 64, 67] {
            let mut segments = two_segments();
            segments[index] = segments[index]
                .clone()
                .edit_header(|header| header[at] = 0x80);
            let offset = at as u64;
            let why = UnsupportedReason::ReservedByte { offset };
            assert_unsupported(&segments, &segments[index], &[], why);
        }
    }
}

#[test]
fn a_previous_end_without_a_previous_segment() {
    let [first, _] = two_segments();
    let first = first.edit_header(|header| header[57] = 0x10);
    let why = UnsupportedReason::ReservedByte { offset: 57 };
    assert_unsupported(from_ref(&first), &first, &[], why);
}

#[test]
fn any_byte_of_a_header_block_that_has_no_meaning() {
    let meaningless = (72..512)
        .chain(540..STATEMENT_AT)
        .chain(STATEMENT_AT + 20..DATA_AT);
    for at in meaningless
        .step_by(7)
        .chain([72, 511, 540, 1023, 1044, 4095])
    {
        for index in [0, 1] {
            let mut segments = two_segments();
            segments[index].bytes[at] = 1;
            let offset = at as u64;
            let why = UnsupportedReason::ReservedByte { offset };
            assert_unsupported(&segments, &segments[index], &[], why);
        }
    }
}

#[test]
fn a_statement_of_another_kind() {
    for kind in [1, 2, 6, 0xff] {
        for index in [0, 1] {
            let mut segments = two_segments();
            let statement = Frame::statement(kind, 2);
            segments[index] = segments[index].clone().state(statement);
            let offset = STATEMENT_AT as u64;
            let why = UnsupportedReason::FrameKind { kind, offset };
            assert_unsupported(&segments, &segments[index], &[], why);
        }
    }
}

/// The records before it are delivered.
#[test]
fn a_record_of_another_kind() {
    for kind in [MARK, SEAL, LINK, 6, 0xff] {
        let newest = Segment::new(1, 16 * 1024).record(b"a");
        let offset = newest.at as u64;
        let newest = newest.frame(kind, b"b").record(b"c");
        let why = UnsupportedReason::FrameKind { kind, offset };
        assert_unsupported(from_ref(&newest), &newest, &[1], why);
        let newer = newest.successor(16 * 1024).record(b"d");
        assert_unsupported(&[newest.clone(), newer], &newest, &[1], why);
    }
}

#[test]
fn a_record_of_another_kind_inside_an_atomic_batch() {
    let newest = Segment::new(1, 16 * 1024).record(b"a").frame(PART, b"b");
    let offset = newest.at as u64;
    let newest = newest.frame(9, b"c").record(b"d");
    let why = UnsupportedReason::FrameKind { kind: 9, offset };
    assert_unsupported(from_ref(&newest), &newest, &[1], why);
}

/// An unknown kind counts only where the next record is expected, with the next LSN. Elsewhere a
/// 32-bit check matches by chance now and then.
#[test]
fn anywhere_else_an_unknown_kind_is_not_looked_at() {
    let sound = Segment::new(1, 16 * 1024).record(b"a");
    let other_lsn = Frame {
        kind: 9,
        ..Frame::statement(9, 3)
    };
    let mut beyond = sound.clone();
    beyond.put(&other_lsn, b"");
    let mut behind = sound.clone();
    behind.at += 100;
    behind.put(
        &Frame {
            lsn: 2,
            ..other_lsn
        },
        b"",
    );
    let mut zero = sound.clone();
    zero.put(
        &Frame {
            lsn: 2,
            kind: 0,
            ..other_lsn
        },
        b"",
    );
    let sealed = sound.state(Frame::statement(SEAL, 1)).frame(9, b"");
    for segment in [beyond, behind, zero, sealed] {
        let disk = disk_with(&[segment]);
        let read = Read::of(&disk);
        assert_eq!((read.lsns(), read.label()), (vec![1], None));
        assert!(survey(&disk).is_sound());
        assert_eq!(append(&disk).unwrap(), 2);
    }
}

/// A salt of 0 would make its successor the first segment of a log.
#[test]
fn a_header_without_a_salt_is_damaged() {
    let segment = Segment::new(1, 16 * 1024).edit_header(|header| header[32..40].fill(0));
    assert_eq!(
        Read::of(&disk_with(&[segment])).label(),
        Some("header-damaged")
    );
}
