//! The state of a raft log as a plain value, the same under both versions of openraft, and the
//! possible states after a crash.

use std::collections::BTreeMap;

/// A state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Model {
    pub vote: Option<Ballot>,
    pub committed: Option<Id>,
    pub purged: Option<Id>,
    pub entries: BTreeMap<u64, Content>,
}

/// A vote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ballot {
    pub term: u64,
    pub node: u64,
    pub committed: bool,
}

/// A log id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Id {
    pub term: u64,
    pub node: u64,
    pub index: u64,
}

/// The term of an entry, and the length and the repeated byte of its data.
pub type Content = (u64, usize, Option<u8>);

/// The node that the tests name in log ids.
pub const NODE: u64 = 1;

impl Model {
    pub fn last(&self) -> Option<Id> {
        let last = self.entries.last_key_value();
        last.map(|(index, (term, ..))| Id {
            term: *term,
            node: NODE,
            index: *index,
        })
        .or(self.purged)
    }

    pub fn next_index(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    pub fn truncate(&mut self, since: u64) {
        self.entries.split_off(&since);
    }

    pub fn purge(&mut self, upto: impl Into<Id>) {
        let upto = upto.into();
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
    /// The past of a log without records.
    pub fn of_a_new_log() -> Self {
        Self {
            states: vec![Model::default()],
            acknowledged: 0,
        }
    }

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
