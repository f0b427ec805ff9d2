//! The counterpart of `published.rs` without the feature `metrics`: it publishes nothing.

use std::time::Duration;

use crate::stats::figures::{Count, Level, Spread};
use crate::stats::flushes::FlushCause;

#[derive(Debug)]
pub(super) struct Published;

#[expect(clippy::unused_self, reason = "its twin uses it")]
impl Published {
    pub(super) fn new(_: &str) -> Self {
        Self
    }

    pub(super) fn add(&self, _: Count, _: u64) {}
    pub(super) fn set(&self, _: Level, _: u64) {}
    pub(super) fn record(&self, _: Spread, _: u64) {}
    pub(super) fn flush(&self, _: FlushCause) {}
    pub(super) fn state(&self, _: Duration, _: u64, _: u64) {}
}
