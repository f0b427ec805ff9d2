//! Files that end inside their header block: the missing bytes count as zeros.

use tidewal::{Error, UnsupportedReason};

use crate::cases::format::{FRAME_LEN, Frame, HEADER_LEN, SEAL, STATEMENT_AT};
use crate::cases::{Files, reader};
use crate::craft::{Read, Segment, disk_with};

const LEN: usize = 16 * 1024;

/// A statement of an unknown kind without the last byte of its check, which is zero.
pub fn without_the_end_of_the_statement() -> Vec<Segment> {
    let statement = |len| Frame {
        len,
        ..Frame::statement(9, 1)
    };
    let segments = (0..).map(|len| {
        let segment = Segment::new(1, LEN).record(b"a");
        cut(segment.state(statement(len)), STATEMENT_AT + FRAME_LEN - 1)
    });
    vec![segments.flatten().next().unwrap()]
}

/// Below the head, a header of another log without the last byte of its checksum, which is zero.
pub fn without_the_end_of_a_stale_header() -> Vec<Segment> {
    let foreign = (8_u64..).map(|log_id| {
        let id = log_id.to_le_bytes();
        let segment =
            Segment::new(1, LEN).edit_header(|header| header[16..24].copy_from_slice(&id));
        cut(segment, HEADER_LEN - 1)
    });
    let head = Segment::new(2, LEN).record(b"a");
    let head = head.state(Frame::statement(SEAL, 2));
    vec![foreign.flatten().next().unwrap(), head]
}

/// The segment without its bytes from `len` on, if the first of them is zero.
fn cut(mut segment: Segment, len: usize) -> Option<Segment> {
    let is_zero = segment.bytes[len] == 0;
    segment.bytes.truncate(len);
    is_zero.then_some(segment)
}

pub fn files(segments: &[Segment]) -> Files {
    let file = |segment: &Segment| (segment.name(), segment.bytes.clone());
    segments.iter().map(file).collect()
}

#[test]
fn a_statement_is_completed_with_zeros() {
    let log = without_the_end_of_the_statement();
    let outcome = Read::of(&disk_with(&log)).outcome;
    let offset = STATEMENT_AT as u64;
    let expected = UnsupportedReason::FrameKind { kind: 9, offset };
    assert!(
        matches!(&outcome, Err(Error::Unsupported { reason, .. }) if *reason == expected),
        "{outcome:?}"
    );
    let document = reader::read(&files(&log)).outcome;
    assert!(format!("{document:?}").contains("Later"), "{document:?}");
}

#[test]
fn a_header_is_completed_with_zeros() {
    let log = without_the_end_of_a_stale_header();
    let read = Read::of(&disk_with(&log));
    assert_eq!(
        (read.lsns(), read.label()),
        (vec![], Some("foreign-segment"))
    );
    let document = reader::read(&files(&log)).outcome;
    assert!(format!("{document:?}").contains("Damaged"), "{document:?}");
}
