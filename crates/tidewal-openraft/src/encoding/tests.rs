use std::io::Cursor;

use openraft::{CommittedLeaderId, Entry, EntryPayload};

use super::*;

openraft::declare_raft_types!(
    Types: D = Vec<u8>, R = ()
);

fn log_id(index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(3, 1), index)
}

/// The example of `docs/openraft.md`.
#[test]
fn a_truncation_is_laid_out_as_documented() {
    let record = truncate(0x0102, 7);
    let expected = [1, 4, 2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(record, expected.as_slice());
}

/// A vote of term 3 for node 1, byte by byte: the form must not change, also not with a new version of
/// openraft or of the serializer.
#[test]
fn a_vote_is_laid_out_as_documented() {
    let record = vote(1, &Vote::new(3, 1u64)).unwrap();
    let body = b"\x82\xa9leader_id\x82\xa4term\x03\xa7node_id\x01\xa9committed\xc2";
    assert_eq!(record[..10], [1, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&record[10..], body);
}

#[test]
fn an_entry_is_laid_out_as_documented() {
    let value = Entry::<Types> {
        log_id: log_id(5),
        payload: EntryPayload::Blank,
    };
    let (record, len) = entry(9, &value).unwrap();
    let body = b"\x82\xa6log_id\x82\xa9leader_id\x82\xa4term\x03\xa7node_id\x01\xa5index\x05\
        \xa7payload\xa5Blank";
    assert_eq!(record[..10], [1, 1, 9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&record[10..], body);
    assert_eq!(len, body.len());
}

#[test]
fn a_checkpoint_comes_back() {
    let written = Checkpoint::<Types> {
        needs: 11,
        vote: Some(Vote::new_committed(3, 1)),
        committed: None,
        purged: Some(log_id(4)),
    };
    let record = checkpoint(13, &written).unwrap();
    let Ok((13, Op::Checkpoint(read))) = decode::<Types>(&record) else {
        panic!("another record came back");
    };
    assert_eq!(read.needs, 11);
    assert_eq!(read.vote, written.vote);
    assert_eq!(read.committed, None);
    assert_eq!(read.purged, Some(log_id(4)));
}

#[test]
fn a_record_that_is_cut_short_is_an_error() {
    let value = Entry::<Types> {
        log_id: log_id(5),
        payload: EntryPayload::Normal(vec![1, 2, 3]),
    };
    let records = [
        entry(1, &value).unwrap().0,
        vote(2, &Vote::new(3, 1u64)).unwrap(),
        committed(3, &Some(log_id(4))).unwrap(),
        truncate(4, 5),
    ];
    for record in records {
        assert!(decode::<Types>(&record).is_ok());
        for len in 0..record.len() {
            assert!(decode::<Types>(&record[..len]).is_err(), "{len} bytes");
        }
    }
}

#[test]
fn unknown_versions_and_kinds_are_errors() {
    let mut record = truncate(4, 5).to_vec();
    record[1] = 9;
    assert!(decode::<Types>(&record).is_err());
    record[..2].copy_from_slice(&[2, 4]);
    assert!(decode::<Types>(&record).is_err());
}
