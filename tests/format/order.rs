//! The order of errors, and the records delivered before the first one.

use tidewal::sim::SimDisk;
use tidewal::{Error, UnsupportedReason};

use crate::cases::format::{DATA_AT, PART};
use crate::craft::{Read, Segment, disk_with};

const LEN: usize = 16 * 1024;

/// Segments of three records each.
fn three_segments() -> [Segment; 3] {
    let fill = |segment: Segment| segment.record(b"a").record(b"b").record(b"c");
    let first = fill(Segment::new(1, LEN));
    let second = fill(first.successor(LEN));
    let third = fill(second.successor(LEN));
    [first, second, third]
}

/// The file that the error names, with its label.
fn named(read: &Read) -> (String, &'static str) {
    let Err(Error::Corrupt(corruption)) = &read.outcome else {
        panic!("{:?}", read.outcome);
    };
    let name = corruption.segment.file_name().unwrap();
    (name.to_string_lossy().into_owned(), corruption.kind.label())
}

fn damage_payload(segment: &mut Segment) {
    let at = segment.at - 1;
    segment.bytes[at] ^= 1;
}

#[test]
fn headers_come_before_the_first_record() {
    let mut segments = three_segments();
    damage_payload(&mut segments[0]);
    segments[1].bytes[16] ^= 1;
    let read = Read::of(&disk_with(&segments));
    assert_eq!(read.lsns(), [0; 0]);
    assert_eq!(named(&read), (segments[1].name(), "header-damaged"));
}

#[test]
fn the_newest_header_comes_first() {
    let mut segments = three_segments();
    segments[1].bytes[16] ^= 1;
    segments[2].bytes[17] ^= 1;
    let read = Read::of(&disk_with(&segments));
    assert_eq!(named(&read), (segments[2].name(), "header-damaged"));
}

/// The checks of one header: the checksum, then the version, then the name, then the rest of the
/// block.
#[test]
fn the_checks_of_a_header_have_an_order() {
    let version = |bytes: &mut [u8; 72]| bytes[8] = 2;
    let other_name = |disk: &SimDisk, segment: &Segment| {
        disk.write_file("log/00000000000000000005.wal", segment.bytes.clone());
    };
    let later = Segment::new(1, LEN).edit_header(version);

    let mut torn = later.clone();
    torn.bytes[16] ^= 1;
    assert_eq!(named(&Read::of(&disk_with(&[torn]))).1, "header-damaged");

    let disk = SimDisk::new(1);
    other_name(&disk, &later);
    let read = Read::of(&disk);
    let Err(Error::Unsupported { reason, .. }) = read.outcome else {
        panic!("{:?}", read.outcome);
    };
    assert_eq!(reason, UnsupportedReason::Version(2));

    let mut reserved = Segment::new(1, LEN);
    reserved.bytes[3000] = 1;
    let disk = SimDisk::new(1);
    other_name(&disk, &reserved);
    assert_eq!(named(&Read::of(&disk)).1, "name-mismatch");
}

/// Neither an incomplete unit nor anything after it is delivered.
#[test]
fn whole_units_before_an_error_are_delivered() {
    let [first, ..] = three_segments();
    let mut first = first
        .frame(PART, b"d")
        .record(b"e")
        .frame(PART, b"f")
        .record(b"g");
    damage_payload(&mut first);
    let second = first.successor(LEN).record(b"h");
    let read = Read::of(&disk_with(&[first, second]));
    assert_eq!(read.lsns(), [1, 2, 3, 4, 5]);
    assert_eq!(read.label(), Some("sealed-damaged"));
    let Err(Error::Corrupt(corruption)) = &read.outcome else {
        unreachable!("it has a label");
    };
    assert_eq!(corruption.first.get(), 6);
    assert!(corruption.offset > DATA_AT as u64);
}
