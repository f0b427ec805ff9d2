//! How fast a snapshot is written beside a log that is appended to.

use std::time::Duration;

use tokio::sync::watch;

use crate::error::IoFailure;
use crate::executor::Executor;
use crate::queue::Progress;

/// Leaves the disk to the log for twice as long as the last piece of the snapshot took, but at most
/// [`PAUSE_MAX`].
///
/// A snapshot written at full speed keeps a disk and a processor busy: p99 of 64 producers was 16 to 24 times
/// as long (`docs/benchmarks.md`, "State machine"). If nothing is appended, there are no pauses.
pub(super) struct Pace {
    executor: Executor,
    progress: watch::Receiver<Progress>,
}

impl Pace {
    pub(super) fn new(executor: Executor, progress: watch::Receiver<Progress>) -> Self {
        Self { executor, progress }
    }

    /// Writes one piece, and pauses after it.
    pub(super) fn write<T>(
        &mut self,
        piece: impl FnOnce() -> Result<T, IoFailure>,
    ) -> Result<T, IoFailure> {
        let started = self.executor.now();
        let written = piece()?;
        let took = self.executor.now().saturating_duration_since(started);
        self.executor.pause(self.pause_after(took));
        Ok(written)
    }

    fn pause_after(&mut self, took: Duration) -> Duration {
        if !self.progress.has_changed().unwrap_or(false) {
            return Duration::ZERO;
        }
        self.progress.mark_unchanged();
        took.saturating_mul(2).min(PAUSE_MAX)
    }
}

/// The longest pause. A log that is closing waits for it.
const PAUSE_MAX: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn a_snapshot_pauses_only_while_the_log_is_appended_to() {
        let (log, progress) = watch::channel(Progress {
            durable: Lsn::ZERO,
            end: None,
        });
        let mut pace = Pace::new(Executor::Thread, progress);
        let took = Duration::from_millis(3);
        assert_eq!(pace.pause_after(took), Duration::ZERO);

        log.send_modify(|progress| progress.durable = Lsn::FIRST);
        assert_eq!(pace.pause_after(took), took * 2);
        assert_eq!(pace.pause_after(took), Duration::ZERO);

        log.send_modify(|progress| progress.durable = Lsn::FIRST.next());
        assert_eq!(pace.pause_after(Duration::from_secs(9)), PAUSE_MAX);

        drop(log);
        assert_eq!(pace.pause_after(took), Duration::ZERO);
    }
}
