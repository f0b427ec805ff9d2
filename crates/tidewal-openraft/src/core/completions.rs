//! What happens when records become durable, in the order in which they were submitted.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tidewal::{Error, Lsn, PendingAppend, PendingBatch, Result};
use tokio::sync::{mpsc, oneshot};

use crate::core::marks::Marks;
use crate::core::types::Types;

/// Work to do once records of a group, and every record before them, are durable.
pub(crate) struct Job<T: Types> {
    pub(crate) group: u64,
    pub(crate) failure: Failure,
    pub(crate) pending: Pending,
    pub(crate) then: Then<T>,
}

/// What a job waits for.
pub(crate) enum Pending {
    /// Only the jobs before it.
    Earlier,
    One(PendingAppend),
    Batch(PendingBatch),
}

pub(crate) enum Then<T: Types> {
    Nothing,
    Flushed(T::Flushed),
    Answer(oneshot::Sender<Result<()>>),
    /// A checkpoint. The records that are needed besides it begin at this LSN or later.
    Checkpoint {
        needs: Option<Lsn>,
        answer: oneshot::Sender<Result<()>>,
    },
    /// The last record of the group.
    Removed {
        removals: Arc<AtomicU64>,
        answer: oneshot::Sender<Result<()>>,
    },
}

/// Waits for [`Then::Answer`] and its like.
pub(crate) async fn answered(durable: oneshot::Receiver<Result<()>>) -> Result<()> {
    durable.await.unwrap_or(Err(Error::Interrupted))
}

/// The first failure of a raft log, which every later call gets. No later record is acknowledged:
/// the log appends in order, and accepts nothing after a record that it has refused.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<OnceLock<Error>>);

impl Failure {
    pub(crate) fn check(&self) -> Result<()> {
        self.0.get().cloned().map_or(Ok(()), Err)
    }

    /// Records a failure, and returns the first one.
    fn note(&self, error: Error) -> Error {
        self.0.get_or_init(|| error).clone()
    }
}

impl Pending {
    /// Waits until the records are durable. Returns the last LSN.
    async fn durable(self) -> Result<Lsn> {
        match self {
            Self::Earlier => Ok(Lsn::ZERO),
            Self::One(pending) => pending.await,
            Self::Batch(pending) => pending.await.map(|lsns| *lsns.end()),
        }
    }
}

/// The task that waits for records to become durable. It ends when the log is dropped and all calls
/// are answered.
pub(crate) async fn complete<T: Types>(
    mut jobs: mpsc::UnboundedReceiver<Job<T>>,
    marks: Arc<Marks>,
) {
    while let Some(job) = jobs.recv().await {
        let outcome = job.pending.durable().await;
        let outcome = match (job.failure.check(), outcome) {
            (Ok(()), Ok(lsn)) => Ok(lsn),
            (Ok(()), Err(error)) | (Err(error), _) => Err(job.failure.note(first_cause(error))),
        };
        finish(job.then, job.group, outcome, &marks);
    }
}

fn finish<T: Types>(then: Then<T>, group: u64, outcome: Result<Lsn>, marks: &Marks) {
    match then {
        Then::Nothing => {}
        Then::Flushed(callback) => {
            T::flushed(callback, outcome.map(drop).map_err(|error| told(&error)));
        }
        Then::Answer(answer) => drop(answer.send(outcome.map(drop))),
        Then::Checkpoint { needs, answer } => {
            if let Ok(lsn) = outcome {
                marks.advance(group, needs.map_or(lsn, |needs| needs.min(lsn)));
            }
            drop(answer.send(outcome.map(drop)));
        }
        Then::Removed { removals, answer } => {
            if let Ok(lsn) = outcome {
                marks.advance(group, lsn.next());
                removals.fetch_sub(1, Relaxed);
            }
            drop(answer.send(outcome.map(drop)));
        }
    }
}

/// The error of every call after the first failure.
pub(crate) fn first_cause(error: Error) -> Error {
    match error {
        Error::EarlierRefused(cause) => Error::clone(&cause),
        error => error,
    }
}

/// An error whose text includes the causes, because openraft keeps only the text of a callback's
/// error.
fn told(error: &Error) -> io::Error {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    io::Error::new(kind(error), texts.join(": "))
}

/// The kind of the `io::Error` for this cause.
pub(crate) fn kind(error: &Error) -> io::ErrorKind {
    match error {
        Error::StorageFull { .. } => io::ErrorKind::StorageFull,
        Error::TooLarge { .. } => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::Other,
    }
}
