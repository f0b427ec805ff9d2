//! Details of what the log writes.

use tidewal::Wal;
use tidewal::sim::SimDisk;

use crate::cases::format::{HEADER_LEN, LINK, SEAL};
use crate::craft::{Read, Segment, append, disk_with};
use crate::support::{DIR, run};

const LEN: usize = 16 * 1024;

/// The salt, and the previous salt and end, of the segment that begins with this LSN.
fn chain(disk: &SimDisk, base: u64) -> [u64; 3] {
    let bytes = disk.read(format!("{DIR}/{base:020}.wal")).unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert!(bytes.len() > HEADER_LEN);
    [number(32), number(48), number(56)]
}

#[test]
fn a_newest_segment_without_records_is_replaced_and_its_predecessor_taken_over() {
    let first = Segment::new(1, LEN).record(b"a").record(b"b");
    let second = first.successor(LEN);
    let disk = disk_with(&[first.clone(), second.clone()]);
    assert_eq!(append(&disk).unwrap(), 3);
    let [salt, previous, end] = chain(&disk, 3);
    assert_ne!(salt, second.header.salt);
    assert_eq!((previous, end), (first.header.salt, first.at as u64));
    assert_eq!(Read::of(&disk).lsns(), [1, 2, 3]);
}

/// The same for a head that never had a predecessor and for one after a truncation.
#[test]
fn a_head_without_records_is_replaced_by_one_without_a_predecessor() {
    let first = Segment::new(1, LEN).record(b"a");
    let mut second = first.successor(LEN);
    let mark = [
        &b"tidehead"[..],
        &2_u64.to_le_bytes(),
        &second.header.salt.to_le_bytes(),
    ];
    let mark = mark.concat();
    second.bytes[512..536].copy_from_slice(&mark);
    second.bytes[536..540].copy_from_slice(&crc32fast::hash(&mark).to_le_bytes());
    for (log, base) in [(Segment::new(1, LEN), 1), (second, 2)] {
        let disk = disk_with(&[log]);
        assert_eq!(append(&disk).unwrap(), base);
        assert_eq!(chain(&disk, base)[1..], [0, 0]);
        assert_eq!(Read::of(&disk).lsns(), [base]);
    }
}

#[test]
fn an_empty_log_ends_at_lsn_0_and_its_first_record_gets_lsn_1() {
    let disk = SimDisk::new(1);
    let end = run(async {
        let recovery = Wal::options().recover_on(&disk, DIR).await.unwrap();
        recovery.into_wal().await.unwrap().durable_lsn()
    });
    assert_eq!(end.get(), 0);
    assert_eq!(Read::of(&disk).outcome.unwrap().end.get(), 0);
    assert_eq!(append(&disk).unwrap(), 1);
}

/// A recovered segment is sealed after the records that were read, and never appended to.
#[test]
fn records_go_to_a_new_segment_and_the_one_before_says_where_it_ends() {
    let first = Segment::new(1, LEN).record(b"a").record(b"b");
    let disk = disk_with(std::slice::from_ref(&first));
    assert_eq!(append(&disk).unwrap(), 3);
    let [_, previous, end] = chain(&disk, 3);
    assert_eq!((previous, end), (first.header.salt, first.at as u64));
    let bytes = disk.read(format!("{DIR}/{}", first.name())).unwrap();
    assert_eq!(bytes[first.at..], first.bytes[first.at..]);
    assert_eq!(bytes[1024..1028], 2_u32.to_le_bytes());
    assert!([SEAL, LINK].contains(&bytes[1024 + 12]));
}
