//! The figures that are counted and measured, each under one name.
//!
//! [`counters`](super::counters) keeps them, and [`published`](super::published) passes them on. To
//! add a figure, begin here: the code does not compile until both modules and
//! [`Stats`](super::Stats) have it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::stats::flushes::FlushCause;

/// Figures that only grow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Appends,
    Records,
    PayloadBytes,
    WrittenBytes,
    StorageFull,
    SegmentUnavailable,
    Syncs,
    SegmentsOpened,
    SegmentsTruncated,
    Truncations,
}

impl Count {
    pub(super) const ALL: [Self; 10] = [
        Self::Appends,
        Self::Records,
        Self::PayloadBytes,
        Self::WrittenBytes,
        Self::StorageFull,
        Self::SegmentUnavailable,
        Self::Syncs,
        Self::SegmentsOpened,
        Self::SegmentsTruncated,
        Self::Truncations,
    ];
}

/// Figures that rise and fall.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Segments,
    DurableLsn,
    /// 0 or 1.
    Poisoned,
    HeldSegments,
    HeldBytes,
}

impl Level {
    pub(super) const ALL: [Self; 5] = [
        Self::Segments,
        Self::DurableLsn,
        Self::Poisoned,
        Self::HeldSegments,
        Self::HeldBytes,
    ];
}

/// Figures that are counted in buckets. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    SyncTime,
    AppendTime,
    BatchRecords,
    BatchBytes,
}

impl Spread {
    pub(super) const ALL: [Self; 4] = [
        Self::SyncTime,
        Self::AppendTime,
        Self::BatchRecords,
        Self::BatchBytes,
    ];
}

/// A write that carried records.
pub(crate) struct BatchFacts {
    pub(crate) cause: FlushCause,
    pub(crate) appends: u64,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) bytes: u64,
}

/// A number that one thread changes and any thread reads. Relaxed, because nothing is ordered by
/// it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Only one thread changes it, so this need not be one atomic operation.
    pub(crate) fn add(&self, amount: u64) {
        self.set(self.get().wrapping_add(amount));
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Each list has the order of its type, because both are used as an index.
const _: () = {
    let mut index = 0;
    while index < Count::ALL.len() {
        assert!(Count::ALL[index] as usize == index);
        index += 1;
    }
    index = 0;
    while index < Level::ALL.len() {
        assert!(Level::ALL[index] as usize == index);
        index += 1;
    }
    index = 0;
    while index < Spread::ALL.len() {
        assert!(Spread::ALL[index] as usize == index);
        index += 1;
    }
};
