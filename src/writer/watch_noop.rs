//! The twin of `watch.rs` without the features that need it.

use std::time::Duration;

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::options::WalOptions;
use crate::queue::Inbox;
use crate::storage::Dir;

pub(super) struct Watch;

#[expect(clippy::unused_self, reason = "its twin uses it")]
impl Watch {
    #[expect(clippy::unnecessary_wraps, reason = "its twin can fail")]
    pub(super) fn start(
        _: &Dir,
        _: Executor,
        _: &WalOptions,
        _: &Inbox,
    ) -> Result<Self, IoFailure> {
        Ok(Self)
    }

    pub(super) fn begun(&self) {}
    pub(super) fn ended(&self, _: Duration) {}
}
