//! What a raft log holds in memory: the state after everything that was submitted.

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
    /// What the entries take, as [`cost`] counts.
    bytes: u64,
}

/// A memory that its log and its readers share.
pub(crate) struct Shared<T: Types>(Arc<Mutex<Memory<T>>>);

/// An entry whose index is not above that of the entry before it.
#[derive(Debug, thiserror::Error)]
#[error("entry {next} does not follow entry {prev}")]
pub(crate) struct OutOfOrder<T: Types> {
    pub(crate) prev: T::LogId,
    pub(crate) next: T::LogId,
}

/// Where an entry is in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// The number of its record.
    pub(crate) number: u64,
    /// Its record has this LSN or a later one.
    pub(crate) lsn: Lsn,
}

struct Stored<E> {
    entry: E,
    place: Place,
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

    /// Adds an entry whose encoding has this length, or puts it in the place of the one with its index.
    pub(crate) fn insert(&mut self, place: Place, entry: T::Entry, len: usize) {
        let cost = cost::<T>(len);
        let index = T::index(&T::log_id(&entry));
        let stored = Stored { entry, place, cost };
        let old = self.entries.insert(index, stored);
        self.bytes = self.bytes + cost - old.map_or(0, |old| old.cost);
    }

    /// An entry has another record now.
    pub(crate) fn set_place(&mut self, index: u64, place: Place) {
        if let Some(stored) = self.entries.get_mut(&index) {
            stored.place = place;
        }
    }

    /// The entries whose records can lie before `limit`, with their indexes.
    pub(crate) fn before(&self, limit: Lsn) -> impl Iterator<Item = (u64, &T::Entry)> {
        let entries = self.entries.iter();
        let old = entries.filter(move |(_, stored)| stored.place.lsn < limit);
        old.map(|(index, stored)| (*index, &stored.entry))
    }

    /// Forgets the entries from `since` on.
    pub(crate) fn truncate(&mut self, since: u64) {
        let gone = self.entries.split_off(&since);
        self.forget(&gone);
    }

    /// Forgets the entries up to `upto`, and that one too.
    pub(crate) fn purge(&mut self, upto: T::LogId) {
        let index = T::index(&upto);
        let kept = self.entries.split_off(&index.saturating_add(1));
        let gone = std::mem::replace(&mut self.entries, kept);
        self.forget(&gone);
        if Some(index) > self.purged_index() {
            self.purged = Some(upto);
        }
    }

    /// Takes over what a checkpoint says.
    pub(crate) fn restore(&mut self, checkpoint: Checkpoint<T>) {
        self.vote = checkpoint.vote;
        self.committed = checkpoint.committed;
        if let Some(purged) = checkpoint.purged {
            self.purge(purged);
        }
    }

    /// The checkpoint, as record `number`, that makes this state together with the entries it has, once
    /// it is purged up to `upto`. With it the first LSN that can hold one of those entries.
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
        let places = || self.entries.range(first..).map(|(_, stored)| stored.place);
        let checkpoint = Checkpoint {
            // Not always that of the first one: entries that were copied lie behind later ones.
            needs: places().map(|place| place.number).fold(number, u64::min),
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged,
        };
        (checkpoint, places().map(|place| place.lsn).min())
    }

    /// The first LSN that can hold an entry, if there are entries.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        self.entries.values().map(|stored| stored.place.lsn).min()
    }

    /// The last entry, or if there is none the last one that was purged.
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

impl<T: Types> Shared<T> {
    pub(crate) fn new(memory: Memory<T>) -> Self {
        Self(Arc::new(Mutex::new(memory)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Memory<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Types> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Checks that an entry comes after the last one.
///
/// Holes, and entries below what was purged, are the affair of openraft: its engine makes none, and its
/// test suite does.
pub(crate) fn check_order<T: Types>(
    prev: Option<T::LogId>,
    next: T::LogId,
) -> Result<(), OutOfOrder<T>> {
    match prev {
        Some(prev) if T::index(&next) <= T::index(&prev) => Err(OutOfOrder { prev, next }),
        _ => Ok(()),
    }
}

/// What an entry takes in memory, by the length of its encoding. What it has on the heap is not known,
/// and about as long as that.
pub(crate) fn cost<T: Types>(len: usize) -> u64 {
    (len + size_of::<Stored<T::Entry>>()) as u64
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
