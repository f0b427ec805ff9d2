//! What a raft log holds in memory: the state after everything that was submitted.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use openraft::{LogId, RaftLogId, RaftTypeConfig, Vote};

use crate::encoding::Checkpoint;

pub(crate) struct Memory<C: RaftTypeConfig> {
    pub(crate) vote: Option<Vote<C::NodeId>>,
    pub(crate) committed: Option<LogId<C::NodeId>>,
    pub(crate) purged: Option<LogId<C::NodeId>>,
    /// By index. openraft appends without holes, but its test suite does not.
    entries: BTreeMap<u64, Stored<C::Entry>>,
    /// What the entries take, as [`cost`] counts.
    bytes: u64,
}

/// An entry whose index is not above that of the entry before it.
#[derive(Debug, thiserror::Error)]
#[error("entry {next} does not follow entry {prev}")]
pub(crate) struct OutOfOrder<C: RaftTypeConfig> {
    pub(crate) prev: LogId<C::NodeId>,
    pub(crate) next: LogId<C::NodeId>,
}

struct Stored<E> {
    entry: E,
    /// The number of the record that it is in.
    record: u64,
    cost: u64,
}

impl<C: RaftTypeConfig> Memory<C> {
    pub(crate) fn new() -> Self {
        Self {
            vote: None,
            committed: None,
            purged: None,
            entries: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Adds an entry, which stands in this record, and whose encoding has this length.
    pub(crate) fn append(&mut self, record: u64, entry: C::Entry, len: usize) {
        let cost = cost::<C>(len);
        self.bytes += cost;
        let index = entry.get_log_id().index;
        let stored = Stored {
            entry,
            record,
            cost,
        };
        self.entries.insert(index, stored);
    }

    /// Forgets the entries from `since` on.
    pub(crate) fn truncate(&mut self, since: u64) {
        let gone = self.entries.split_off(&since);
        self.forget(&gone);
    }

    /// Forgets the entries up to `upto`, and that one too.
    pub(crate) fn purge(&mut self, upto: LogId<C::NodeId>) {
        let kept = self.entries.split_off(&(upto.index.saturating_add(1)));
        let gone = std::mem::replace(&mut self.entries, kept);
        self.forget(&gone);
        if Some(upto.index) > self.purged_index() {
            self.purged = Some(upto);
        }
    }

    /// Takes over what a checkpoint says.
    pub(crate) fn restore(&mut self, checkpoint: Checkpoint<C>) {
        self.vote = checkpoint.vote;
        self.committed = checkpoint.committed;
        if let Some(purged) = checkpoint.purged {
            self.purge(purged);
        }
    }

    /// The checkpoint, as record `number`, that stands for what this state is after a purge.
    pub(crate) fn checkpoint(&self, number: u64, upto: LogId<C::NodeId>) -> Checkpoint<C> {
        let first = self.entries.range(upto.index.saturating_add(1)..).next();
        let purged = match &self.purged {
            Some(purged) if purged.index >= upto.index => purged.clone(),
            _ => upto,
        };
        Checkpoint {
            needs: first.map_or(number, |(_, first)| first.record),
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged: Some(purged),
        }
    }

    /// The last entry, or if there is none the last one that was purged.
    pub(crate) fn last(&self) -> Option<LogId<C::NodeId>> {
        self.last_entry().or_else(|| self.purged.clone())
    }

    /// Checks that an entry comes after the last one.
    ///
    /// Holes, and entries below what was purged, are the affair of openraft: its engine makes none, and
    /// its test suite does.
    pub(crate) fn check_order(&self, next: &LogId<C::NodeId>) -> Result<(), OutOfOrder<C>> {
        match self.last_entry() {
            Some(prev) if next.index <= prev.index => Err(OutOfOrder {
                prev,
                next: next.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn last_entry(&self) -> Option<LogId<C::NodeId>> {
        let (_, last) = self.entries.last_key_value()?;
        Some(last.entry.get_log_id().clone())
    }

    fn purged_index(&self) -> Option<u64> {
        self.purged.as_ref().map(|purged| purged.index)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the entries take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Clones of the entries in `range`: those that come first and cost `budget` at most, but one at
    /// least.
    pub(crate) fn clone_range(&self, range: impl RangeBounds<u64>, budget: u64) -> Vec<C::Entry>
    where
        C::Entry: Clone,
    {
        if is_empty(&range) {
            return Vec::new();
        }
        let mut left = budget;
        let mut cloned = Vec::new();
        for (_, stored) in self.entries.range(range) {
            if stored.cost > left && !cloned.is_empty() {
                break;
            }
            left = left.saturating_sub(stored.cost);
            cloned.push(stored.entry.clone());
        }
        cloned
    }

    fn forget(&mut self, gone: &BTreeMap<u64, Stored<C::Entry>>) {
        self.bytes -= gone.values().map(|stored| stored.cost).sum::<u64>();
    }
}

/// What an entry takes in memory, by the length of its encoding. What it has on the heap is not known,
/// and about as long as that.
pub(crate) fn cost<C: RaftTypeConfig>(len: usize) -> u64 {
    (len + size_of::<Stored<C::Entry>>()) as u64
}

/// Whether nothing can lie in a range. `BTreeMap::range` panics where the bounds are the wrong way
/// round.
fn is_empty(range: &impl RangeBounds<u64>) -> bool {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    match range.end_bound() {
        Bound::Included(end) => start > *end,
        Bound::Excluded(end) => start >= *end,
        Bound::Unbounded => false,
    }
}
