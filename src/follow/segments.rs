//! The segments of a log as they are now, for programs that ship or copy its files.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::follow::finished::FinishedSegment;
use crate::follow::source::Source;
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::queue::completion::Completion;
use crate::queue::request::Request;
use crate::retention::RetentionState;
use crate::wal::Wal;

impl Wal {
    /// The segments of the log and their changes. The value does not keep the log open.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let wal = tidewal::Wal::open(dir.path()).await?;
    /// let mut segments = wal.segments();
    /// wal.append("a record").await?;
    /// wal.rotate().await?;
    ///
    /// let list = segments.list();
    /// assert_eq!(list.finished.len(), 1);
    /// assert_eq!(list.open.unwrap().base, list.finished[0].last().next());
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn segments(&self) -> Segments {
        let source = Arc::new(Source::of(self));
        Segments {
            news: source.retention.subscribe(),
            source,
        }
    }
}

/// The segments of a log and their changes. Made by [`Wal::segments`].
///
/// It does not keep the log open. [`Wal::finished_segments`] is a stream of the finished segments.
#[derive(Clone)]
pub struct Segments {
    source: Arc<Source>,
    news: watch::Receiver<RetentionState>,
}

impl Segments {
    /// The current segments.
    #[must_use]
    pub fn list(&mut self) -> SegmentList {
        let kept = self.news.borrow_and_update();
        let finished = kept.finished.iter();
        let finished = finished.map(|segment| FinishedSegment::new(&self.source, *segment));
        SegmentList {
            log_id: kept.log_id,
            finished: finished.collect(),
            open: kept.open,
            // Read after the segments, so every record of a finished one is at or below it.
            durable: self.source.feed.durable_end(),
        }
    }

    /// Waits until something has changed since the last [`list`](Self::list): a segment was opened, finished
    /// or removed, or a hold has moved. `false` once the log is closing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no change is missed.
    pub async fn changed(&mut self) -> bool {
        if self.news.borrow().is_closing {
            return false;
        }
        // The sender lives as long as the retention.
        let _ = self.news.changed().await;
        !self.news.borrow().is_closing
    }

    /// Like [`Wal::rotate_if_older_than`].
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::rotate_if_older_than`], and [`Error::Closed`] if the log has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the rotation may still happen.
    pub async fn rotate_if_older_than(&self, age: Duration) -> Result<()> {
        let (done, answer) = Completion::new();
        self.source.log.ask(Request::Rotate(age, done)).await?;
        answer.await
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").finish_non_exhaustive()
    }
}

/// The segments of a log at one moment. Returned by [`Segments::list`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentList {
    /// The id of the log, or `None` until it has its first segment. Before that, no id would
    /// survive a crash.
    pub log_id: Option<u64>,
    /// The finished segments, oldest first. Segments without records are not among them.
    pub finished: Vec<FinishedSegment>,
    /// The open segment, or `None` until one was opened.
    pub open: Option<Header>,
    /// The last durable record.
    pub durable: Lsn,
}
