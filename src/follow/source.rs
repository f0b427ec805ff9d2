//! What those who read a log have of it.

use std::future::Future;
use std::sync::Arc;

use crate::error::Result;
use crate::executor::{Executor, race};
use crate::feed::Feed;
use crate::queue::Control;
use crate::retention::{Kept, Retention};
use crate::storage::Dir;
use crate::wal::Wal;

/// A log that is read, and not kept open.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) feed: Arc<Feed>,
    pub(super) retention: Arc<Retention>,
    pub(super) dir: Dir,
    pub(super) executor: Executor,
    pub(super) log: Control,
}

impl Source {
    pub(super) fn of(wal: &Wal) -> Self {
        Self {
            feed: Arc::clone(wal.feed()),
            retention: Arc::clone(wal.retention()),
            dir: wal.dir().clone(),
            executor: wal.executor(),
            log: wal.control(),
        }
    }

    /// Runs something that reads files, on a thread of its own.
    pub(super) fn run(&self, job: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let started = self.executor.run("tidewal-follow", self.dir.path(), job);
        Ok(started?)
    }

    /// Does something, unless this comes to be so, the log is closing, or the reader has gone.
    pub(super) async fn unless<T>(
        &self,
        is_so: impl Fn(&Kept) -> bool,
        has_gone: impl Future<Output = ()>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut news = self.retention.subscribe();
        let stopped = race(
            async { drop(news.wait_for(|kept| kept.is_closing || is_so(kept)).await) },
            has_gone,
        );
        race(async { Some(work.await) }, async {
            stopped.await;
            None
        })
        .await
    }
}
