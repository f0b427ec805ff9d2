//! Finishing a segment before it is full.

use std::time::Duration;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::queue::completion::Completion;
use crate::queue::request::Request;
use crate::wal::Wal;

impl Wal {
    /// Finishes the open segment, so the next append goes to a new one. Returns once everything
    /// appended before is durable in a finished segment. Does nothing if the open segment holds no
    /// record.
    ///
    /// The log finishes a segment on its own when it is full. Call this if a finished segment is needed sooner,
    /// for example to ship it. The unused space at its end is returned to the file system.
    ///
    /// # Errors
    ///
    /// - [`Error::StorageFull`] or [`Error::SegmentUnavailable`] if another segment cannot be opened. The
    ///   log keeps working with the open one.
    /// - [`Error::OutcomeUnknown`], [`Error::Poisoned`], [`Error::Closed`], [`Error::Interrupted`]
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the rotation may still happen.
    pub async fn rotate(&self) -> Result<()> {
        self.rotate_if_older_than(Duration::ZERO).await
    }

    /// Like [`rotate`](Self::rotate), but only if the first record of the open segment was written
    /// at least `age` ago.
    ///
    /// Calling it at an interval bounds how long a record can wait for its segment to be finished.
    ///
    /// # Errors
    ///
    /// The errors of [`rotate`](Self::rotate).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the rotation may still happen.
    pub async fn rotate_if_older_than(&self, age: Duration) -> Result<()> {
        let (done, answer) = Completion::new();
        let request = Request::Rotate(age, done);
        self.shared.submitter.ask(request).await?;
        answer.await
    }
}
