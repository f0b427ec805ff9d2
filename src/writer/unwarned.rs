//! The twin of `slow.rs` without the feature `tracing`.

use std::time::{Duration, Instant};

use crate::options::WalOptions;
use crate::storage::Dir;

#[derive(Clone)]
pub(super) struct Slow;

#[expect(clippy::unused_self, reason = "its twin uses it")]
impl Slow {
    pub(super) fn new(_: &Dir, _: &WalOptions) -> Self {
        Self
    }

    /// When to look again, which others know better.
    pub(super) fn look(&mut self, _: Option<Instant>, now: Instant) -> Instant {
        now + Duration::from_secs(60)
    }

    pub(super) fn ended(&self, _: Duration) {}
}
