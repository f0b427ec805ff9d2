//! Finishing a segment before it is full.

use std::time::Duration;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::queue::completion::Completion;
use crate::queue::request::Request;
use crate::wal::Wal;

impl Wal {
    /// Finishes the segment that is being written: the next append goes to a new one. Returns once what was
    /// appended before is durable in a finished segment. Does nothing if the segment holds no record.
    ///
    /// A segment is finished by itself when it is full. Ask for it where a finished segment is needed
    /// sooner, for instance to ship it. The space behind its end is given back.
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

    /// Like [`rotate`](Self::rotate), if the first record of the open segment was written at least `age` ago.
    /// Otherwise does nothing.
    ///
    /// Called at an interval it bounds how long a record can wait for its segment to be finished.
    ///
    /// # Errors
    ///
    /// The same as [`rotate`](Self::rotate).
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
