//! Between the callers and the writer: requests one way, answers the other.
//!
//! [`channel`] makes the two ends. A [`Submitter`] belongs to the handles and is gone with the last of
//! them; the [`Inbox`] belongs to the writer. Between them is a batch that is being filled, behind a lock
//! ([`shared`]): the [`frames`] of what was appended, as bytes, and notes of what has to be done with them
//! ([`append`], [`request`]). A caller holds the lock for as long as it takes to copy a small payload
//! ([`enter`]), the writer for as long as it takes to exchange the batch for an empty one. [`acks`] is how
//! appends are answered, [`ack_guard`] the duty to do so, [`completion`] how everything else is answered.

pub(crate) mod ack_guard;
pub(crate) mod acks;
pub(crate) mod append;
pub(crate) mod completion;
pub(crate) mod cost;
mod enter;
pub(crate) mod frames;
#[cfg(all(test, tidewal_shuttle))]
mod model;
pub(crate) mod order;
pub(crate) mod request;
mod shared;
mod wait_list;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::error::{Error, IoFailure, Result, TrySubmitError};
use crate::executor::Executor;
use crate::lsn::Lsn;
use crate::queue::acks::Ack;
use crate::queue::append::Append;
use crate::queue::completion::Completion;
use crate::queue::cost::Cost;
use crate::queue::enter::{Appended, Appending, Entering, NotEntered};
use crate::queue::order::Order;
use crate::queue::request::{Request, Taken};
use crate::queue::shared::Shared;
use crate::queue::wait_list::Turn;
use crate::retention::Retention;
use crate::stats::Stats;
use crate::stats::counters::Counters;

/// Makes the two ends of a queue with these bounds, for a log that is durable up to `durable`.
pub(crate) fn channel(
    bytes: usize,
    records: usize,
    durable: Lsn,
    executor: Executor,
    counters: Counters,
) -> (Submitter, Inbox) {
    let (progress, watching) = watch::channel(Progress { durable, end: None });
    let shared = Arc::new(Shared::new(Cost { bytes, records }, executor, counters));
    let submitter = Submitter {
        progress: watching,
        shared: Arc::clone(&shared),
    };
    (submitter, Inbox { progress, shared })
}

/// How far the log is durable, and how it ended if it did.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) durable: Lsn,
    pub(crate) end: Option<Result<()>>,
}

/// The callers' end.
pub(crate) struct Submitter {
    pub(crate) progress: watch::Receiver<Progress>,
    shared: Arc<Shared>,
}

impl Submitter {
    /// Waits for a place in the queue and takes it.
    ///
    /// Cancel safe: if dropped before it returns, nothing was submitted.
    pub(crate) async fn submit(&self, append: Append) -> Result<Ack> {
        Entering::new(&self.shared, append).await
    }

    /// Waits for a place in the queue, takes it, and waits for the answer. The outer error is that of an
    /// append that was not submitted.
    pub(crate) async fn append(&self, append: Append) -> Appended {
        Appending::new(&self.shared, append).await
    }

    /// Takes a place in the queue if there is one now.
    pub(crate) fn try_submit(&self, mut append: Append) -> Result<Ack, TrySubmitError> {
        let entered = self.shared.enter(&mut append, &mut { Turn::NEW }, None);
        entered.map_err(|not_entered| match not_entered {
            NotEntered::Full => TrySubmitError::Full(append.into_payload()),
            NotEntered::Refused(error) => error.into(),
        })
    }

    /// Ends a sequence of appends of which one was refused before it was in the queue.
    pub(crate) fn end(&self, order: &Order, error: &Error) {
        self.shared.end(order, error);
    }

    /// Waits for a place in the queue for a request that brings no record. It needs one, because its
    /// caller may have gone when it is served, and more may have come.
    pub(crate) async fn ask(&self, request: Request) -> Result<()> {
        Entering::new(&self.shared, Some(request)).await
    }

    /// Asks for the end, which takes no place.
    pub(crate) fn close(&self) {
        // An error means that it is closed, or closing, already.
        let _ = self.shared.send(Request::Close);
    }

    /// A way to ask the writer for something that does not keep the log open.
    pub(crate) fn control(&self) -> Control {
        Control(Arc::clone(&self.shared))
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(crate) fn retention(&self) -> &Arc<Retention> {
        &self.shared.retention
    }

    pub(crate) fn stats(&self, now: Instant) -> Stats {
        let used = self.shared.used();
        Stats {
            queued_bytes: used.bytes as u64,
            queued_records: used.records as u64,
            ..self.shared.counters.snapshot(now)
        }
    }
}

impl Drop for Submitter {
    /// No handle is left to submit anything.
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// The end of those who follow a log or hold its records: the log ends without asking them.
#[derive(Clone)]
pub(crate) struct Control(Arc<Shared>);

impl Control {
    /// As [`Submitter::ask`].
    pub(crate) async fn ask(&self, request: Request) -> Result<()> {
        Entering::new(&self.0, Some(request)).await
    }

    /// Waits until everything that was submitted before, and was not refused, is durable.
    pub(crate) async fn sync(&self) -> Result<Lsn> {
        let (done, answer) = Completion::new();
        self.ask(Request::Sync(done)).await?;
        answer.await
    }

    /// Asks for the truncation that holds have put off, which takes no place.
    pub(crate) fn truncate_put_off(&self) {
        if self.0.retention.ask_to_truncate() {
            // An error means that the log is closed, or closing.
            let _ = self.0.send(Request::TruncatePutOff);
        }
    }
}

/// The writer's end.
pub(crate) struct Inbox {
    progress: watch::Sender<Progress>,
    shared: Arc<Shared>,
}

impl Inbox {
    /// Waits for requests to take. `false` once there will be no more.
    ///
    /// Cancel safe: it takes nothing.
    pub(crate) async fn wait(&mut self) -> bool {
        std::future::poll_fn(|context| self.shared.poll_waiting(context)).await
    }

    /// Says whether an append that comes now is taken at once.
    pub(crate) fn set_idle(&self, is_idle: bool) {
        self.shared.set_idle(is_idle);
    }

    /// Takes all that waits. What was taken before must have been used up.
    pub(crate) fn take_waiting(&mut self, taken: &mut Taken) {
        self.shared.take(taken);
    }

    /// How many requests wait, each append counted.
    pub(crate) fn len(&self) -> usize {
        self.shared.len()
    }

    /// Takes no more requests; what waits is still handed out.
    pub(crate) fn close(&mut self) {
        self.shared.close();
    }

    /// What an append of this cost takes of the queue's bounds.
    pub(crate) fn place_of(&self, cost: Cost) -> Cost {
        self.shared.place_of(cost)
    }

    /// Whether a caller waits for room.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.shared.is_waited_for()
    }

    /// Takes note of a [`Request::FlushNow`]: the next one may come.
    pub(crate) fn note_flush_request(&self) {
        self.shared.note_flush_request();
    }

    /// Gives back the places of requests that brought no record.
    pub(crate) fn release_controls(&self, count: usize) {
        self.shared.release_controls(count);
    }

    /// Offers the places of callers who do not come for them to others. Returns when to do so again.
    pub(crate) fn pass_over(&self) -> Option<Instant> {
        self.shared.pass_over()
    }

    /// Gives back places of appends that left the queue.
    pub(crate) fn release(&self, places: Cost) {
        self.shared.release(places);
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(crate) fn retention(&self) -> &Arc<Retention> {
        &self.shared.retention
    }

    /// What an observer sees.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn watched(&self) -> Watched {
        Watched(Arc::clone(&self.shared))
    }

    /// Tells all callers how far the log is durable now.
    pub(crate) fn publish(&self, durable: Lsn) {
        self.progress
            .send_modify(|progress| progress.durable = durable);
    }

    /// Refuses what waits and what comes.
    ///
    /// The cause is stored before the queue closes, so that a caller that is refused from now on learns it.
    pub(crate) fn poison(&mut self, fault: &IoFailure) {
        self.shared.poison(fault);
        let mut taken = Taken::default();
        self.take_waiting(&mut taken);
        taken.refuse(&Error::Poisoned(fault.clone()));
    }

    /// Says that the log has ended. Nothing of it is left to wait for.
    pub(crate) fn finish(self, end: Result<()>) {
        self.progress
            .send_modify(|progress| progress.end = Some(end));
    }
}

impl Drop for Inbox {
    /// However the writer ends, no caller keeps waiting for room in its queue, or for an answer.
    fn drop(&mut self) {
        self.close();
        self.take_waiting(&mut Taken::default());
    }
}

/// A log as an observer sees it.
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub(crate) struct Watched(Arc<Shared>);

#[cfg(any(feature = "metrics", feature = "tracing"))]
impl Watched {
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Publishes what changes without the writer's doing.
    pub(crate) fn publish(&self, now: Instant) {
        let used = self.0.used();
        let counters = &self.0.counters;
        counters.publish_state(now, used.bytes as u64, used.records as u64);
    }
}
