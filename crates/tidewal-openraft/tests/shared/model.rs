//! The state of a raft log as a plain value, and the possible states after a crash.

use std::collections::BTreeMap;

use crate::api::openraft_traits::RaftLogStorage;
use crate::api::{Blob, Calls, Entry, EntryPayload, LogId, RaftLog, Vote, log_id};

/// A state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Model {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    /// The term, the length and the repeated byte of each entry, by index.
    pub entries: BTreeMap<u64, (u64, usize, Option<u8>)>,
}

impl Model {
    /// The state of a log.
    pub async fn of(log: &mut RaftLog) -> Self {
        let entries = log.entries(..).await;
        let state = log.get_log_state().await.unwrap();
        let model = Self {
            vote: log.saved_vote().await,
            committed: log.read_committed().await.unwrap(),
            purged: state.last_purged_log_id,
            entries: entries.into_iter().map(parts).collect(),
        };
        assert_eq!(model.last(), state.last_log_id);
        model
    }

    pub fn last(&self) -> Option<LogId> {
        let last = self.entries.last_key_value();
        last.map(|(index, (term, ..))| log_id(*term, *index))
            .or(self.purged)
    }

    pub fn next_index(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    pub fn append(&mut self, entry: &Entry) {
        self.entries.extend([parts(entry.clone())]);
    }

    pub fn truncate(&mut self, since: u64) {
        self.entries.split_off(&since);
    }

    pub fn purge(&mut self, upto: LogId) {
        self.entries = self.entries.split_off(&(upto.index + 1));
        if self.purged.is_none_or(|purged| upto.index > purged.index) {
            self.purged = Some(upto);
        }
    }
}

/// The states that a log went through since it was opened, one for each call.
#[derive(Debug, Default)]
pub struct Past {
    states: Vec<Model>,
    /// The last one that was acknowledged.
    acknowledged: usize,
}

impl Past {
    /// The state after all calls.
    pub fn now(&self) -> Model {
        self.states.last().cloned().unwrap_or_default()
    }

    /// Records a call by the resulting state. Returns its number.
    pub fn ask(&mut self, state: Model) -> usize {
        self.states.push(state);
        self.states.len() - 1
    }

    /// Records that a call, and every call before it, was acknowledged.
    pub fn acknowledge(&mut self, call: usize) {
        self.acknowledged = self.acknowledged.max(call);
    }

    /// Records that a log was recovered with this state, and continues from it.
    pub fn recovered(&mut self, state: Model) {
        let possible = self.states.get(self.acknowledged..).unwrap_or_default();
        assert!(
            self.states.is_empty() && state == Model::default() || possible.contains(&state),
            "recovered {state:?}\nnone of {possible:?}"
        );
        *self = Self {
            states: vec![state],
            acknowledged: 0,
        };
    }
}

pub fn entry(term: u64, index: u64, data: Vec<u8>) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(data.into()),
    }
}

fn parts(entry: Entry) -> (u64, (u64, usize, Option<u8>)) {
    let EntryPayload::Normal(Blob(data)) = entry.payload else {
        unreachable!("the tests append data only");
    };
    let fill = data.first().copied();
    assert!(data.iter().all(|byte| Some(*byte) == fill));
    (
        entry.log_id.index,
        (entry.log_id.leader_id.term, data.len(), fill),
    )
}
