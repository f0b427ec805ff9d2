//! The record area of one segment, behind a header block that the log has made.

use super::check::{DIR, check, disk_with, files_on, options, run};
use super::files::{Files, segment_name};
use super::format::{DATA_AT, FRAME_LEN, Frame, HEADER_LEN, Header, MARK, STATEMENT_AT};
use super::input::Input;
use super::pieces;

/// The first byte chooses between bytes as they are and a list of frames, in a small segment or in one
/// that is read in more than one block.
pub fn record(data: &[u8]) {
    check(&record_files(data));
}

pub fn record_files(data: &[u8]) -> Files {
    let mut input = Input::new(data);
    let choice = input.byte();
    let (mut file, header) = match choice {
        HUGE => HUGE_ONE.with(Clone::clone),
        LARGE_FROM..HUGE => LARGE_ONE.with(Clone::clone),
        _ => SMALL_ONE.with(Clone::clone),
    };
    let area = &mut file[DATA_AT..];
    if choice >= RAW_FROM {
        let bytes = input.rest();
        area[..bytes.len()].copy_from_slice(bytes);
    } else {
        let (_, last) = pieces::fill(&mut input, area, &header, usize::MAX);
        state(&mut file, &header, choice, last);
    }
    Files::from([(segment_name(1), file)])
}

/// A quarter of the segments say something of themselves.
fn state(file: &mut [u8], header: &Header, choice: u8, last: u64) {
    if choice % 4 == 1 {
        let kind = MARK + choice % 3;
        let named = last.saturating_sub(u64::from(choice >> 4 & 1));
        let statement = Frame::statement(kind, named).encode(header.salt);
        file[STATEMENT_AT..STATEMENT_AT + FRAME_LEN].copy_from_slice(&statement);
    }
}

thread_local! {
    static SMALL_ONE: (Vec<u8>, Header) = empty_segment(16 * 1024);
    static LARGE_ONE: (Vec<u8>, Header) = empty_segment(1088 * 1024);
    static HUGE_ONE: (Vec<u8>, Header) = empty_segment(3328 * 1024);
}

/// The log's own first segment, without the record that made the log create it and without a statement.
fn empty_segment(len: u64) -> (Vec<u8>, Header) {
    let disk = disk_with(&Files::new());
    let options = options().segment_size(len).spare_segments(0);
    run(async {
        let wal = options.open_on(&disk, DIR).await.unwrap();
        wal.append("x").await.unwrap();
        disk.cut_power();
    });
    let mut file = files_on(&disk).remove(&segment_name(1)).unwrap();
    let header = Header::decode(&file).expect("the document says how to read it");
    assert_eq!(header.encode(), file[..HEADER_LEN], "and how to write it");
    assert!(Frame::decode(&file, DATA_AT, &header).is_some());
    file[DATA_AT..].fill(0);
    (file, header)
}

/// First bytes that ask for a segment of two blocks, for one of so many that their buffers are used
/// again, and, from there on, for bytes as they are.
const LARGE_FROM: u8 = 0xec;
const HUGE: u8 = 0xef;
const RAW_FROM: u8 = 0xf0;
