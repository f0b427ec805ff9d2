//! What happens when records become durable, in the order in which they were submitted.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock};

use openraft::RaftTypeConfig;
use openraft::storage::LogFlushed;
use tidewal::{Error, Lsn, PendingAppend, Result, Wal};
use tokio::sync::{mpsc, oneshot, watch};

/// Something to be done once a record, and every one before it, is durable.
pub(crate) struct Job<C: RaftTypeConfig> {
    pub(crate) pending: Option<PendingAppend>,
    pub(crate) then: Then<C>,
}

pub(crate) enum Then<C: RaftTypeConfig> {
    Nothing,
    /// The record with this number holds an entry.
    Entry(u64),
    Flushed(LogFlushed<C>),
    Answer(oneshot::Sender<Result<()>>),
    /// It was a checkpoint; what it needs begins with the record of this number.
    Checkpoint {
        needs: u64,
        answer: oneshot::Sender<Result<()>>,
    },
}

/// The first failure of a log, which every later call gets. No later record is acknowledged: the log
/// appends in order, and takes nothing behind a record that it has refused.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<OnceLock<Error>>);

impl Failure {
    pub(crate) fn check(&self) -> Result<()> {
        self.0.get().cloned().map_or(Ok(()), Err)
    }

    /// Notes a failure, and returns the first one.
    pub(crate) fn note(&self, error: Error) -> Error {
        self.0.get_or_init(|| error).clone()
    }
}

/// The LSNs of the records that hold entries, with their numbers, oldest first.
#[derive(Default)]
pub(crate) struct Places(VecDeque<(u64, Lsn)>);

impl Places {
    pub(crate) fn push(&mut self, number: u64, lsn: Lsn) {
        self.0.push_back((number, lsn));
    }

    /// Forgets the records before `needs`; returns the first LSN that must stay if there is a
    /// checkpoint at `checkpoint` which needs that one.
    pub(crate) fn low_water(&mut self, needs: u64, checkpoint: Lsn) -> Lsn {
        while self.0.front().is_some_and(|(number, _)| *number < needs) {
            self.0.pop_front();
        }
        let first = self.0.front().map_or(checkpoint, |(_, lsn)| *lsn);
        first.min(checkpoint)
    }
}

/// The task that sees records become durable. It ends when the log is dropped and all is answered.
pub(crate) struct Completions<C: RaftTypeConfig> {
    pub(crate) jobs: mpsc::Receiver<Job<C>>,
    pub(crate) failure: Failure,
    pub(crate) places: Places,
    pub(crate) low_water: watch::Sender<Lsn>,
}

impl<C: RaftTypeConfig> Completions<C> {
    pub(crate) async fn run(mut self) {
        while let Some(Job { pending, then }) = self.jobs.recv().await {
            let outcome = match pending {
                Some(pending) => pending.await,
                None => Ok(Lsn::ZERO),
            };
            let outcome = match (self.failure.check(), outcome) {
                (Ok(()), Ok(lsn)) => Ok(lsn),
                (Ok(()), Err(error)) | (Err(error), _) => Err(self.failure.note(error)),
            };
            self.complete(then, outcome);
        }
    }

    fn complete(&mut self, then: Then<C>, outcome: Result<Lsn>) {
        match then {
            Then::Nothing => {}
            Then::Entry(number) => {
                if let Ok(lsn) = outcome {
                    self.places.push(number, lsn);
                }
            }
            Then::Flushed(callback) => {
                let outcome = outcome.map(drop).map_err(|error| told(&error));
                callback.log_io_completed(outcome);
            }
            Then::Answer(answer) => drop(answer.send(outcome.map(drop))),
            Then::Checkpoint { needs, answer } => {
                if let Ok(lsn) = outcome {
                    self.low_water
                        .send_replace(self.places.low_water(needs, lsn));
                }
                drop(answer.send(outcome.map(drop)));
            }
        }
    }
}

/// An error whose text has the causes too, because openraft keeps of a callback's error the text only.
fn told(error: &Error) -> io::Error {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    io::Error::other(texts.join(": "))
}

/// Gives files back, beside the task above, so that no callback waits for that.
pub(crate) async fn trim(wal: Wal, mut low_water: watch::Receiver<Lsn>) {
    while low_water.changed().await.is_ok() {
        let before = *low_water.borrow_and_update();
        // A failure of the log shows at its next record; files that stay are removed when it is opened.
        let _ = wal.truncate_before(before).await;
    }
}
