//! The state of a log of this version.

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Blob, Calls, Entry, EntryPayload, LogId, RaftLog, Vote, log_id};
use crate::model::{Ballot, Content, Id};
pub use crate::model::{Model, Past};

/// The state of a log.
pub async fn state_of(log: &mut RaftLog) -> Model {
    let entries = log.entries(..).await;
    let state = log.get_log_state().await.unwrap();
    let committed = log.read_committed().await.unwrap();
    let model = Model {
        vote: log.saved_vote().await.map(Into::into),
        committed: committed.map(Into::into),
        purged: state.last_purged_log_id.map(Into::into),
        entries: entries.iter().map(parts).collect(),
    };
    assert_eq!(model.last(), state.last_log_id.map(Into::into));
    model
}

pub fn entry(term: u64, index: u64, data: Vec<u8>) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(data.into()),
    }
}

/// Adds an entry to a state.
pub fn add(state: &mut Model, entry: &Entry) {
    state.entries.extend([parts(entry)]);
}

fn parts(entry: &Entry) -> (u64, Content) {
    let EntryPayload::Normal(Blob(data)) = &entry.payload else {
        unreachable!("the tests append data only");
    };
    let fill = data.first().copied();
    assert!(data.iter().all(|byte| Some(*byte) == fill));
    (
        entry.log_id.index,
        (entry.log_id.leader_id.term, data.len(), fill),
    )
}

impl From<Vote> for Ballot {
    fn from(vote: Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            node: vote.leader_id.node_id,
            committed: vote.committed,
        }
    }
}

impl From<LogId> for Id {
    fn from(log_id: LogId) -> Self {
        Self {
            term: log_id.leader_id.term,
            node: log_id.leader_id.node_id,
            index: log_id.index,
        }
    }
}

impl From<Id> for LogId {
    fn from(id: Id) -> Self {
        log_id(id.term, id.index)
    }
}
