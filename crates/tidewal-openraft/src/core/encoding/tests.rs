//! The bytes of records: the same under both versions of openraft, now and later.

use std::collections::{BTreeMap, BTreeSet};

use openraft::type_config::alias::{EntryOf, EntryPayloadOf, LogIdOf, VoteOf};
use openraft09::BasicNode as OldNode;

use super::*;

mod new {
    openraft::declare_raft_types!(
        pub Types: D = String, R = ()
    );
}

mod old {
    use std::io::Cursor;

    openraft09::declare_raft_types!(
        pub Types: D = String, R = ()
    );
}

type New = crate::v0_10::V0_10<new::Types>;
type Old = crate::v0_9::V0_9<old::Types>;

fn header(number: u64) -> Header {
    let owner = Owner::Single;
    Header { owner, number }
}

fn in_group(number: u64) -> Header {
    let owner = Owner::Group(0x0a0b);
    Header { owner, number }
}

fn old_id(index: u64) -> openraft09::LogId<u64> {
    openraft09::LogId::new(openraft09::CommittedLeaderId::new(3, 1), index)
}

fn new_id(index: u64) -> LogIdOf<new::Types> {
    let leader_id = openraft::impls::leader_id_adv::LeaderId {
        term: 3,
        node_id: 1,
    };
    LogIdOf::<new::Types> { leader_id, index }
}

fn old_entry(
    index: u64,
    payload: openraft09::EntryPayload<old::Types>,
) -> openraft09::Entry<old::Types> {
    let log_id = old_id(index);
    openraft09::Entry { log_id, payload }
}

fn new_entry(index: u64, payload: EntryPayloadOf<new::Types>) -> EntryOf<new::Types> {
    let log_id = new_id(index);
    EntryOf::<new::Types> { log_id, payload }
}

/// The example of `docs/openraft.md`.
#[test]
fn a_truncation_is_laid_out_as_documented() {
    let record = truncate(header(0x0102), 7);
    let expected = [1, 4, 2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(record, expected.as_slice());
}

#[test]
fn a_record_of_a_group_is_laid_out_as_documented() {
    let record = removed(in_group(0x0102));
    let expected = [2, 8, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(record, expected.as_slice());
}

/// A vote of term 3 for node 1, byte by byte: the encoding must not change, not even with a new
/// version of openraft or of the serializer.
#[test]
fn a_vote_is_laid_out_as_documented() {
    let body = b"\x82\xa9leader_id\x82\xa4term\x03\xa7node_id\x01\xa9committed\xc2";
    let old = vote(header(1), &openraft09::Vote::new(3, 1u64)).unwrap();
    let new = vote(header(1), &VoteOf::<new::Types>::new(3, 1)).unwrap();
    assert_eq!(old[..10], [1, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&old[10..], body);
    assert_eq!(old, new);
}

#[test]
fn an_entry_is_laid_out_as_documented() {
    let body = b"\x82\xa6log_id\x82\xa9leader_id\x82\xa4term\x03\xa7node_id\x01\xa5index\x05\
        \xa7payload\xa5Blank";
    let old = entry(header(9), &old_entry(5, openraft09::EntryPayload::Blank)).unwrap();
    let new = entry(header(9), &new_entry(5, openraft::EntryPayload::Blank)).unwrap();
    assert_eq!(old.0[..10], [1, 1, 9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&old.0[10..], body);
    assert_eq!(old.1, body.len());
    assert_eq!(old, new);
}

#[test]
fn a_command_is_laid_out_as_documented() {
    let body = b"\x82\xa6log_id\x82\xa9leader_id\x82\xa4term\x03\xa7node_id\x01\xa5index\x06\
        \xa7payload\x81\xa6Normal\xa3set";
    let old = openraft09::EntryPayload::Normal("set".into());
    let new = openraft::EntryPayload::Normal("set".into());
    let old = entry(header(9), &old_entry(6, old)).unwrap();
    let new = entry(header(9), &new_entry(6, new)).unwrap();
    assert_eq!(&old.0[10..], body);
    assert_eq!(old, new);
}

#[test]
fn a_membership_is_laid_out_the_same_under_both_versions() {
    let voters = BTreeSet::from([1, 2]);
    let old = BTreeMap::from([1, 2, 3].map(|id| (id, OldNode::new(id.to_string()))));
    let new = BTreeMap::from([1, 2, 3].map(|id| (id, openraft::BasicNode::new(id.to_string()))));
    let old = openraft09::Membership::new(vec![voters.clone()], old);
    let new = openraft::Membership::new(vec![voters], new).unwrap();
    let old = old_entry(7, openraft09::EntryPayload::Membership(old));
    let new = new_entry(7, openraft::EntryPayload::Membership(new));
    assert_eq!(
        entry(header(9), &old).unwrap(),
        entry(header(9), &new).unwrap()
    );
}

#[test]
fn a_checkpoint_of_one_version_is_read_by_the_other() {
    let written = Checkpoint::<Old> {
        needs: 11,
        vote: Some(openraft09::Vote::new_committed(3, 1)),
        committed: None,
        purged: Some(old_id(4)),
    };
    let record = checkpoint(header(13), &written).unwrap();
    let Ok((read_header, Op::Checkpoint(read))) = decode::<New>(&record) else {
        panic!("another record came back");
    };
    assert_eq!(read_header, header(13));
    assert_eq!(read.needs, 11);
    assert_eq!(read.vote, Some(VoteOf::<new::Types>::new_committed(3, 1)));
    assert_eq!(read.committed, None);
    assert_eq!(read.purged, Some(new_id(4)));
    assert_eq!(checkpoint(header(13), &read).unwrap(), record);
}

#[test]
fn a_record_that_is_cut_short_is_an_error() {
    let value = new_entry(5, openraft::EntryPayload::Normal("data".into()));
    for header in [header(1), in_group(1)] {
        let records = [
            entry(header, &value).unwrap().0,
            copy(header, &value).unwrap(),
            vote(header, &VoteOf::<new::Types>::new(3, 1)).unwrap(),
            committed(header, &Some(new_id(4))).unwrap(),
            truncate(header, 5),
            removed(header),
        ];
        for record in records {
            assert_eq!(decode::<New>(&record).ok().unwrap().0, header);
            for len in 0..record.len() {
                assert!(decode::<New>(&record[..len]).is_err(), "{len} bytes");
            }
        }
    }
}

#[test]
fn unknown_versions_and_kinds_are_errors() {
    let mut record = truncate(header(4), 5).to_vec();
    record[1] = 9;
    assert!(decode::<New>(&record).is_err());
    record[..2].copy_from_slice(&[3, 4]);
    let error = decode::<New>(&record).err().unwrap();
    assert!(error.contains("version 3"), "{error}");
}
