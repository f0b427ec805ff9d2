//! The counterpart of `stall_monitor.rs` without the features that need it.

use std::time::Duration;

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::options::WalOptions;
use crate::queue::Inbox;
use crate::storage::Dir;

pub(super) struct StallMonitor;

#[expect(clippy::unused_self, reason = "its counterpart uses it")]
impl StallMonitor {
    #[expect(clippy::unnecessary_wraps, reason = "its counterpart can fail")]
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
