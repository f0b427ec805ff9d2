//! A log as a `futures::Sink`.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_sink::Sink;

use crate::error::{Error, Result, TrySubmitError};
use crate::lsn::Lsn;
use crate::ordered::OrderedAppender;
use crate::wal::{PendingAppend, Wal};

impl Wal {
    /// A sink of payloads that appends to this log with many of them in flight: see [`WalSink`].
    ///
    /// Any number of sinks and producers may use a log at the same time.
    pub fn sink(&self) -> WalSink {
        WalSink::new(self)
    }
}

/// A `futures::Sink` of payloads, made by [`Wal::sink`].
///
/// Sending is like [`submit`](Wal::submit): it waits for room in the log's queue and not for the
/// disk. A stream that is `forward`ed therefore has many records in flight, and they share their
/// syncs. The sink keeps up to [`max_in_flight`](Self::max_in_flight) answers, in the order of
/// sending.
///
/// - **Flush** completes when everything sent so far is acknowledged, according to the log's policy
///   and durability. Under [`SyncPolicy::Manual`](crate::SyncPolicy::Manual), where an append waits
///   for an explicit sync, the sink requests one when it is flushed, and when it holds as many
///   answers as it may.
/// - **Close** is a flush. It does not close the log, and the sink can be used again.
/// - **Dropping** the sink does not take back what was submitted.
///
/// While a sink waits for room in the queue, it waits in turn with other producers, as
/// [`submit`](Wal::submit) does.
///
/// # Errors
///
/// Payloads are answered in the order of sending. The first answer that is an error ends the sink:
/// every later call returns that error. [`acknowledged`](Self::acknowledged) is then the number of
/// payloads before it, all of which are in the log. If the error says that its own payload is
/// certainly not appended, then nothing sent after it is appended either, because a sink is an
/// [`OrderedAppender`]. To continue after [`Error::StorageFull`], which does not end the log, make
/// a new sink.
///
/// [`Error::TooLarge`] is the exception: sending returns it for the payload itself, and the sink
/// stays as it was before.
///
/// # Cancel safety
///
/// If the sink is dropped, what was submitted stays submitted, and only the answers are lost. The
/// one payload that may still wait for room in the queue is then certainly not appended.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use futures::{SinkExt, StreamExt, stream};
/// use tidewal::{Lsn, Wal};
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let wal = Wal::open(dir.path()).await?;
///
/// // Many records in flight, few syncs; done when all of them are on disk.
/// let lines = ["one", "two", "three"].map(Bytes::from);
/// stream::iter(lines).map(Ok).forward(wal.sink()).await?;
///
/// // Or by hand: `feed` to send, `send` to send and wait.
/// let mut sink = wal.sink();
/// sink.feed("four".into()).await?;
/// sink.send("five".into()).await?;
/// assert_eq!(sink.last_lsn(), Some(Lsn::new(5)));
/// # wal.close().await?;
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "sinks do nothing unless polled"]
pub struct WalSink {
    appender: OrderedAppender,
    /// The answers to what was submitted, in order.
    answers: VecDeque<PendingAppend>,
    /// The payload sent after all of them, if it could not be submitted at once.
    slot: Slot,
    sync: Sync,
    in_flight_max: usize,
    acknowledged: u64,
    last_lsn: Option<Lsn>,
    failure: Option<Error>,
}

impl WalSink {
    fn new(wal: &Wal) -> Self {
        Self {
            appender: wal.ordered(),
            answers: VecDeque::new(),
            slot: Slot::Free,
            sync: Sync::Idle,
            in_flight_max: IN_FLIGHT_MAX_DEFAULT,
            acknowledged: 0,
            last_lsn: None,
            failure: None,
        }
    }

    /// How many payloads may be sent and not yet acknowledged before the sink makes its sender
    /// wait. Default: 4,096. Minimum: 1, with which each payload waits for its own sync.
    ///
    /// It bounds the memory for answers: 40 bytes each, and 24 more for each one that has been
    /// polled and waits. The log's [`queue_bytes`](crate::WalOptions::queue_bytes) bounds the
    /// payloads.
    pub fn max_in_flight(mut self, payloads: usize) -> Self {
        self.in_flight_max = payloads.max(1);
        self
    }

    /// The number of payloads that were acknowledged. These are always the first ones sent.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The LSN of the last payload that was acknowledged, or `None` if there is none yet. After a
    /// flush, this is the last payload sent.
    #[must_use]
    pub fn last_lsn(&self) -> Option<Lsn> {
        self.last_lsn
    }

    /// The number of payloads that were sent and are not yet acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.answers.len() + usize::from(!matches!(self.slot, Slot::Free))
    }

    /// The answers that the sink has not checked yet, in the order of sending. After an error, these are the
    /// answers to the payloads sent after the one that failed.
    ///
    /// A payload that still waits for room in the queue, which can only be the last one sent, is
    /// taken back and has no answer: it is certainly not appended.
    #[must_use = "only the answers say which records are durable"]
    pub fn into_pending(self) -> Vec<PendingAppend> {
        self.answers.into()
    }

    /// Waits until no more than `keep` payloads are in flight.
    fn poll_settle(&mut self, context: &mut Context<'_>, keep: usize) -> Poll<Result<()>> {
        if let Some(failure) = &self.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        ready!(self.poll_slot(context));
        let refused = matches!(self.slot, Slot::Refused(_));
        let keep = if refused { 0 } else { keep };
        while self.answers.len() > keep {
            if self.poll_answer(context)?.is_pending() {
                ready!(self.poll_sync(context));
            }
        }
        match std::mem::replace(&mut self.slot, Slot::Free) {
            Slot::Refused(error) => Poll::Ready(Err(self.fail(error))),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Submits the payload that waits for room in the queue.
    fn poll_slot(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Slot::Waiting(submission) = &mut self.slot {
            match ready!(submission.as_mut().poll(context)) {
                Ok(answer) => {
                    self.answers.push_back(answer);
                    self.slot = Slot::Free;
                }
                // The answers to what was sent before come first.
                Err(error) => self.slot = Slot::Refused(error),
            }
        }
        Poll::Ready(())
    }

    /// Takes the next answer.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(answer) = self.answers.front_mut() else {
            return Poll::Pending;
        };
        let answer = ready!(Pin::new(answer).poll(context));
        self.answers.pop_front();
        match answer {
            Ok(lsn) => {
                self.acknowledged += 1;
                self.last_lsn = Some(lsn);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.fail(error))),
        }
    }

    /// Requests the sync without which no answer would come, and waits for it.
    fn poll_sync(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self.sync, Sync::Idle) && self.appender.wal().waits_to_be_asked() {
            let wal = self.appender.wal().clone();
            self.sync = Sync::Asked(Box::pin(async move { wal.sync().await }));
        }
        let Sync::Asked(asked) = &mut self.sync else {
            return Poll::Pending;
        };
        let is_over = match ready!(asked.as_mut().poll(context)) {
            // Another producer's record may have been refused. The rest is durable.
            Ok(_) | Err(Error::StorageFull(_) | Error::SegmentUnavailable(_)) => false,
            // The log has ended, so every answer arrives without a sync.
            Err(_) => true,
        };
        self.sync = if is_over { Sync::InVain } else { Sync::Idle };
        match is_over {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    fn submit(&mut self, payload: Bytes) -> Result<()> {
        // A payload that is too large was never sent, and does not end the sink.
        self.appender.wal().check(&payload)?;
        match self.appender.try_submit(payload) {
            Ok(answer) => self.answers.push_back(answer),
            Err(TrySubmitError::Full(payload)) => {
                let appender = self.appender.clone();
                self.slot = Slot::Waiting(Box::pin(async move { appender.submit(payload).await }));
            }
            Err(TrySubmitError::Refused(error)) => self.slot = Slot::Refused(error),
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Error {
        self.slot = Slot::Free;
        self.failure = Some(error.clone());
        error
    }
}

impl Sink<Bytes> for WalSink {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let keep = self.in_flight_max - 1;
        ready!(self.poll_settle(context, keep))?;
        // Report errors as early as possible.
        while self.poll_answer(context)?.is_ready() {}
        Poll::Ready(Ok(()))
    }

    /// # Panics
    ///
    /// If the last `poll_ready` did not return `Ok`.
    fn start_send(mut self: Pin<&mut Self>, payload: Bytes) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        assert!(
            matches!(self.slot, Slot::Free),
            "start_send without poll_ready"
        );
        self.submit(payload)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_settle(context, 0)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }
}

impl fmt::Debug for WalSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalSink")
            .field("in_flight", &self.in_flight())
            .field("acknowledged", &self.acknowledged)
            .field("last_lsn", &self.last_lsn)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// The last payload sent, if it was not submitted at once.
enum Slot {
    Free,
    /// The queue had no room.
    Waiting(Asked<PendingAppend>),
    /// The log refused the payload.
    Refused(Error),
}

/// A sync that the sink has requested.
enum Sync {
    Idle,
    Asked(Asked<Lsn>),
    /// The sync failed, and the log has ended.
    InVain,
}

type Asked<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A few times the number of payloads that arrive during one sync of a fast disk.
const IN_FLIGHT_MAX_DEFAULT: usize = 4096;
