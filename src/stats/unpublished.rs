//! Nothing is published: the twin of `published.rs` without the feature `metrics`.

use std::time::Duration;

use crate::lsn::Lsn;
use crate::stats::counters::BatchFacts;

#[derive(Debug)]
pub(super) struct Published;

#[expect(clippy::unused_self, reason = "its twin uses it")]
impl Published {
    pub(super) fn new(_: &str) -> Self {
        Self
    }

    pub(super) fn opened(&self, _: Lsn, _: u64) {}
    pub(super) fn batch(&self, _: &BatchFacts) {}
    pub(super) fn sync(&self, _: Duration, _: Lsn) {}
    pub(super) fn append(&self, _: u64) {}
    pub(super) fn storage_full(&self, _: u64) {}
    pub(super) fn segment_unavailable(&self, _: u64) {}
    pub(super) fn segment_opened(&self, _: u64) {}
    pub(super) fn truncation(&self, _: u64, _: u64) {}
    pub(super) fn poisoned(&self) {}
    #[cfg(feature = "tracing")]
    pub(super) fn state(&self, _: Duration, _: u64, _: u64) {}
}
