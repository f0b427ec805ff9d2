//! What happens when records become durable, in the order in which they were submitted.

use std::io;
use std::sync::{Arc, OnceLock};

use tidewal::{Error, Lsn, PendingAppend, PendingBatch, Result};
use tokio::sync::{mpsc, oneshot};

use crate::core::marks::Marks;
use crate::core::types::Types;

/// Something to be done once records of a group, and every one before them, are durable.
pub(crate) struct Job<T: Types> {
    pub(crate) group: u64,
    pub(crate) failure: Failure,
    pub(crate) pending: Pending,
    pub(crate) then: Then<T>,
}

/// What is waited for.
pub(crate) enum Pending {
    /// Nothing but the jobs before.
    Earlier,
    One(PendingAppend),
    Batch(PendingBatch),
}

pub(crate) enum Then<T: Types> {
    Nothing,
    Flushed(T::Flushed),
    Answer(oneshot::Sender<Result<()>>),
    /// It was a checkpoint. What is needed beside it begins with this LSN at the earliest.
    Checkpoint {
        needs: Option<Lsn>,
        answer: oneshot::Sender<Result<()>>,
    },
    /// It was the last record of the group.
    Removed(oneshot::Sender<Result<()>>),
}

/// Waits for [`Then::Answer`] and its like.
pub(crate) async fn answered(durable: oneshot::Receiver<Result<()>>) -> Result<()> {
    durable.await.unwrap_or(Err(Error::Interrupted))
}

/// The first failure of a raft log, which every later call gets. No later record is acknowledged: the log
/// appends in order, and takes nothing behind a record that it has refused.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<OnceLock<Error>>);

impl Failure {
    pub(crate) fn check(&self) -> Result<()> {
        self.0.get().cloned().map_or(Ok(()), Err)
    }

    /// Notes a failure, and returns the first one.
    fn note(&self, error: Error) -> Error {
        self.0.get_or_init(|| error).clone()
    }
}

impl Pending {
    /// Waits; returns the last LSN.
    async fn durable(self) -> Result<Lsn> {
        match self {
            Self::Earlier => Ok(Lsn::ZERO),
            Self::One(pending) => pending.await,
            Self::Batch(pending) => pending.await.map(|lsns| *lsns.end()),
        }
    }
}

/// The task that sees records become durable. It ends when the log is dropped and all is answered.
pub(crate) async fn complete<T: Types>(mut jobs: mpsc::Receiver<Job<T>>, marks: Arc<Marks>) {
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
        Then::Removed(answer) => {
            if let Ok(lsn) = outcome {
                marks.advance(group, lsn.next());
            }
            drop(answer.send(outcome.map(drop)));
        }
    }
}

/// What every call gets after the first failure.
pub(crate) fn first_cause(error: Error) -> Error {
    match error {
        Error::EarlierRefused(cause) => Error::clone(&cause),
        error => error,
    }
}

/// An error whose text has the causes too, because openraft keeps of a callback's error the text only.
fn told(error: &Error) -> io::Error {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    io::Error::new(kind(error), texts.join(": "))
}

/// The kind that an `io::Error` of this cause has.
pub(crate) fn kind(error: &Error) -> io::ErrorKind {
    match error {
        Error::StorageFull { .. } => io::ErrorKind::StorageFull,
        Error::TooLarge { .. } => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::Other,
    }
}
