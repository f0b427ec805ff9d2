//! The room that appends take in the queue and in a batch.

use std::ops::{Add, AddAssign, SubAssign};

/// An amount of room: bytes and records.
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

    /// The room that this takes in a queue of this size: at most all of it, so the largest append
    /// still gets through.
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
