//! A raft log in memory: the state after everything that was submitted.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidewal::Lsn;

use crate::core::encoding::Checkpoint;
use crate::core::types::Types;

pub(crate) struct Memory<T: Types> {
    pub(crate) vote: Option<T::Vote>,
    pub(crate) committed: Option<T::LogId>,
    pub(crate) purged: Option<T::LogId>,
    /// By index. openraft appends without holes, but its test suite does not.
    entries: BTreeMap<u64, Stored<T::Entry>>,
    /// The memory of the entries, as [`cost`] counts it.
    bytes: u64,
}

/// The memory, shared by the log and its readers.
pub(crate) struct SharedMemory<T: Types>(Arc<Mutex<Memory<T>>>);

/// The index of an entry is not above that of the entry before it.
#[derive(Debug, thiserror::Error)]
#[error("entry {next} does not follow entry {prev}")]
pub(crate) struct OutOfOrder<T: Types> {
    pub(crate) prev: T::LogId,
    pub(crate) next: T::LogId,
}

/// Where an entry is in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Position {
    /// The number of its record.
    pub(crate) number: u64,
    /// The LSN of its record is this or a later one.
    pub(crate) lsn: Lsn,
}

struct Stored<E> {
    entry: E,
    position: Position,
    cost: u64,
}

impl<T: Types> Memory<T> {
    pub(crate) fn new() -> Self {
        Self {
            vote: None,
            committed: None,
            purged: None,
            entries: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Adds an entry whose encoding has this length, or replaces the one with its index.
    pub(crate) fn insert(&mut self, position: Position, entry: T::Entry, len: usize) {
        let cost = cost::<T>(len);
        let index = T::index(&T::log_id(&entry));
        let stored = Stored {
            entry,
            position,
            cost,
        };
        let old = self.entries.insert(index, stored);
        self.bytes = self.bytes + cost - old.map_or(0, |old| old.cost);
    }

    /// Records that an entry has another record now.
    pub(crate) fn set_position(&mut self, index: u64, position: Position) {
        if let Some(stored) = self.entries.get_mut(&index) {
            stored.position = position;
        }
    }

    /// The entries whose records can be before `limit`, with their indexes.
    pub(crate) fn before(&self, limit: Lsn) -> impl Iterator<Item = (u64, &T::Entry)> {
        let entries = self.entries.iter();
        let old = entries.filter(move |(_, stored)| stored.position.lsn < limit);
        old.map(|(index, stored)| (*index, &stored.entry))
    }

    /// Drops the entries from `since` on.
    pub(crate) fn truncate(&mut self, since: u64) {
        let gone = self.entries.split_off(&since);
        self.forget(&gone);
    }

    /// Drops the entries up to and including `upto`.
    pub(crate) fn purge(&mut self, upto: T::LogId) {
        let index = T::index(&upto);
        let kept = self.entries.split_off(&index.saturating_add(1));
        let gone = std::mem::replace(&mut self.entries, kept);
        self.forget(&gone);
        if Some(index) > self.purged_index() {
            self.purged = Some(upto);
        }
    }

    /// Takes over the values of a checkpoint.
    pub(crate) fn restore(&mut self, checkpoint: Checkpoint<T>) {
        self.vote = checkpoint.vote;
        self.committed = checkpoint.committed;
        if let Some(purged) = checkpoint.purged {
            self.purge(purged);
        }
    }

    /// The checkpoint that, as record `number`, describes this state without its entries after a
    /// purge up to `upto`. Also returns the first LSN that can hold one of the remaining entries.
    pub(crate) fn checkpoint(
        &self,
        number: u64,
        upto: Option<T::LogId>,
    ) -> (Checkpoint<T>, Option<Lsn>) {
        let purged = [upto, self.purged.clone()].into_iter().flatten();
        let purged = purged.max_by_key(T::index);
        let first = purged
            .as_ref()
            .map_or(0, |id| T::index(id).saturating_add(1));
        let positions = || {
            self.entries
                .range(first..)
                .map(|(_, stored)| stored.position)
        };
        let checkpoint = Checkpoint {
            // Not always that of the first entry: copied entries are after later ones in the log.
            needs: positions()
                .map(|position| position.number)
                .fold(number, u64::min),
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged,
        };
        (checkpoint, positions().map(|position| position.lsn).min())
    }

    /// The first LSN that can hold an entry, if there are entries.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        self.entries
            .values()
            .map(|stored| stored.position.lsn)
            .min()
    }

    /// The last entry, or the last purged one if there is none.
    pub(crate) fn last(&self) -> Option<T::LogId> {
        self.last_entry().or_else(|| self.purged.clone())
    }

    pub(crate) fn last_entry(&self) -> Option<T::LogId> {
        let (_, last) = self.entries.last_key_value()?;
        Some(T::log_id(&last.entry))
    }

    fn purged_index(&self) -> Option<u64> {
        self.purged.as_ref().map(T::index)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The memory of the entries in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Clones the first entries in `range` that together cost at most `budget`, and at least one.
    pub(crate) fn clone_range(&self, range: impl RangeBounds<u64>, budget: u64) -> Vec<T::Entry>
    where
        T::Entry: Clone,
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

    fn forget(&mut self, gone: &BTreeMap<u64, Stored<T::Entry>>) {
        self.bytes -= gone.values().map(|stored| stored.cost).sum::<u64>();
    }
}

impl<T: Types> SharedMemory<T> {
    pub(crate) fn new(memory: Memory<T>) -> Self {
        Self(Arc::new(Mutex::new(memory)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Memory<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Types> Clone for SharedMemory<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Checks that the index of an entry is above that of the last one.
///
/// Gaps, and entries below the purged ones, are allowed: openraft's engine makes none, but its test
/// suite does.
pub(crate) fn check_order<T: Types>(
    prev: Option<T::LogId>,
    next: T::LogId,
) -> Result<(), OutOfOrder<T>> {
    match prev {
        Some(prev) if T::index(&next) <= T::index(&prev) => Err(OutOfOrder { prev, next }),
        _ => Ok(()),
    }
}

/// The memory of an entry, estimated from the length of its encoding. What it has on the heap is
/// unknown, and about as long as that.
pub(crate) fn cost<T: Types>(len: usize) -> u64 {
    (len + size_of::<Stored<T::Entry>>()) as u64
}

/// Whether a range is empty. `BTreeMap::range` panics if the start is after the end.
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
