//! The part of an open log that its readers use.

use std::future::Future;
use std::sync::Arc;

use crate::error::Result;
use crate::executor::{Executor, race};
use crate::feed::Feed;
use crate::lsn::Lsn;
use crate::queue::Control;
use crate::retention::{Pin, Retention, RetentionState};
use crate::storage::{Closing, Dir, Lock};
use crate::wal::Wal;

/// A log as its readers see it. It does not keep the log open.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) feed: Arc<Feed>,
    pub(super) retention: Arc<Retention>,
    pub(super) dir: Dir,
    pub(super) executor: Executor,
    pub(super) log: Control,
    closing: Closing,
}

/// A finished segment whose file may be opened. The file is not reused, and the directory stays locked
/// however the log ends.
pub(super) struct Pinned {
    // Fields are dropped in this order.
    _pin: Pin,
    _lock: Lock,
}

impl Source {
    pub(super) fn of(wal: &Wal) -> Self {
        Self {
            feed: Arc::clone(wal.feed()),
            retention: Arc::clone(wal.retention()),
            dir: wal.dir().clone(),
            executor: wal.executor(),
            log: wal.control(),
            closing: wal.closing().clone(),
        }
    }

    /// Prevents the reuse of a finished segment's file. `None` if the file is about to be reused.
    pub(super) fn pin(&self, base: Lsn) -> Option<Pinned> {
        Some(Pinned {
            _pin: self.retention.pin(base)?,
            _lock: self.closing.share()?,
        })
    }

    /// Runs a job that reads files, on a thread of its own.
    pub(super) fn run(&self, job: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let started = self.executor.run("tidewal-follow", self.dir.path(), job);
        Ok(started?)
    }

    /// Runs `job` unless the condition becomes true, the log is closing, or the reader was dropped.
    /// A job that is ready does not hide these: a reader that never waits must stop too.
    pub(super) async fn unless<T>(
        &self,
        is_so: impl Fn(&RetentionState) -> bool,
        has_gone: impl Future<Output = ()>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut news = self.retention.subscribe();
        let stopped = race(
            async { drop(news.wait_for(|kept| kept.is_closing || is_so(kept)).await) },
            has_gone,
        );
        let stopped = async {
            stopped.await;
            None
        };
        race(stopped, async { Some(work.await) }).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// A log that closed waited for readers that always had something to do.
    #[tokio::test]
    async fn regression_a_job_that_is_ready_does_not_hide_that_the_log_is_closing() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path()).await.unwrap();
        let source = Source::of(&wal);
        let outcome = || source.unless(|_| false, pending(), ready(()));
        assert_eq!(outcome().await, Some(()));
        source.retention.end();
        assert_eq!(outcome().await, None);
        let gone = source.unless(|_| false, ready(()), ready(()));
        assert_eq!(gone.await, None);
        wal.close().await.unwrap();
    }
}
