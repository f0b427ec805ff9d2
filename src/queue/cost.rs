//! What appends take of the queue and of a batch.

use std::ops::{Add, AddAssign, SubAssign};

/// What requests take of the queue, and batches of their limits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cost {
    pub(crate) bytes: usize,
    pub(crate) records: usize,
}

impl Cost {
    pub(crate) fn fits(self, size: Self) -> bool {
        self.bytes <= size.bytes && self.records <= size.records
    }

    pub(crate) fn at_least(self, least: Self) -> Self {
        Self {
            bytes: self.bytes.max(least.bytes),
            records: self.records.max(least.records),
        }
    }

    /// What this takes of a queue of this size: at most everything, so that the largest append still
    /// gets through.
    pub(crate) fn at_most(self, size: Self) -> Self {
        Self {
            bytes: self.bytes.min(size.bytes),
            records: self.records.min(size.records),
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.records += other.records;
    }
}

impl SubAssign for Cost {
    fn sub_assign(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.records -= other.records;
    }
}
