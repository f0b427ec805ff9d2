//! The queue between callers and the writer: requests in one direction, answers in the other.
//!
//! [`channel`] makes the two ends. The [`Submitter`] belongs to the handles and is dropped with the
//! last of them. The [`Inbox`] belongs to the writer. Between them is a batch that is being filled,
//! behind a lock ([`shared`]): the [`frames`] of the appends, as bytes, and notes about them
//! ([`append`], [`request`]). A caller holds the lock while it copies a small payload ([`enter`]),
//! and the writer while it exchanges the batch for an empty one. [`acks`] has the answers to
//! appends, [`ack_guard`] the obligation to give them, and [`completion`] the answers to everything
//! else.

pub(crate) mod ack_guard;
pub(crate) mod acks;
pub(crate) mod append;
pub(crate) mod completion;
pub(crate) mod cost;
mod enter;
mod enter_future;
pub(crate) mod frames;
#[cfg(all(test, tidewal_shuttle))]
mod model;
pub(crate) mod ordered;
mod primitives;
pub(crate) mod request;
mod shared;
mod state;
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
use crate::queue::enter::NotEntered;
use crate::queue::enter_future::{Appended, Appending, Entering};
use crate::queue::ordered::Order;
use crate::queue::request::{Request, Taken};
use crate::queue::shared::Shared;
use crate::queue::wait_list::Turn;
use crate::retention::Retention;
use crate::stats::Stats;
use crate::stats::counters::Counters;

/// Makes the two ends of a queue, for a log that is durable up to `durable`.
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

/// The durable LSN, and how the log ended, if it did.
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
    /// Waits for room in the queue, and adds the append to it.
    ///
    /// Cancel safe: if it is dropped before it returns, nothing was submitted.
    pub(crate) async fn submit(&self, append: Append) -> Result<Ack> {
        Entering::new(&self.shared, append).await
    }

    /// Waits for room in the queue, adds the append to it, and waits for the answer. The outer
    /// error means that nothing was submitted.
    pub(crate) async fn append(&self, append: Append) -> Appended {
        Appending::new(&self.shared, append).await
    }

    /// Adds the append to the queue if there is room now.
    pub(crate) fn try_submit(&self, mut append: Append) -> Result<Ack, TrySubmitError> {
        let entered = self.shared.enter(&mut append, &mut { Turn::NEW }, None);
        entered.map_err(|not_entered| match not_entered {
            NotEntered::Full => TrySubmitError::Full(append.into_payload()),
            NotEntered::Refused(error) => error.into(),
        })
    }

    /// Ends an ordered sequence after one of its appends was refused before it was in the queue.
    pub(crate) fn end(&self, order: &Order, error: &Error) {
        self.shared.end(order, error);
    }

    /// Waits for room in the queue for a request without records. Such requests are bounded too,
    /// because callers may be dropped before their requests are served.
    pub(crate) async fn ask(&self, request: Request) -> Result<()> {
        Entering::new(&self.shared, Some(request)).await
    }

    /// Requests the close of the log, which takes no room.
    pub(crate) fn close(&self) {
        // An error means that the log is closed or closing already.
        let _ = self.shared.send(Request::Close);
    }

    /// A handle for requests to the writer that does not keep the log open.
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

/// The end for followers and holds of a log, which do not keep it open.
#[derive(Clone)]
pub(crate) struct Control(Arc<Shared>);

impl Control {
    /// Like [`Submitter::ask`].
    pub(crate) async fn ask(&self, request: Request) -> Result<()> {
        Entering::new(&self.0, Some(request)).await
    }

    /// Waits until everything that was submitted before, and was not refused, is durable.
    pub(crate) async fn sync(&self) -> Result<Lsn> {
        let (done, answer) = Completion::new();
        self.ask(Request::Sync(done)).await?;
        answer.await
    }

    /// Requests the truncation that holds have postponed, which takes no room.
    pub(crate) fn truncate_put_off(&self) {
        if self.0.retention.ask_to_truncate() {
            // An error means that the log is closed or closing.
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
    /// Waits for requests. Returns `false` once no more will come.
    ///
    /// Cancel safe: it takes nothing.
    pub(crate) async fn wait(&mut self) -> bool {
        std::future::poll_fn(|context| self.shared.poll_waiting(context)).await
    }

    /// Sets whether an append that arrives now is taken at once.
    pub(crate) fn set_idle(&self, is_idle: bool) {
        self.shared.set_idle(is_idle);
    }

    /// Takes everything that is waiting. `taken` must be empty.
    pub(crate) fn take_waiting(&mut self, taken: &mut Taken) {
        self.shared.take(taken);
    }

    /// The number of waiting requests. Each append counts.
    pub(crate) fn len(&self) -> usize {
        self.shared.len()
    }

    /// Accepts no more requests. Waiting requests can still be taken.
    pub(crate) fn close(&mut self) {
        self.shared.close();
    }

    /// The room that an append of this cost takes in the queue.
    pub(crate) fn place_of(&self, cost: Cost) -> Cost {
        self.shared.place_of(cost)
    }

    /// Whether a caller waits for room.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.shared.is_waited_for()
    }

    /// Acknowledges a [`Request::FlushNow`], so the next one can be sent.
    pub(crate) fn note_flush_request(&self) {
        self.shared.note_flush_request();
    }

    /// Frees the room of requests without records.
    pub(crate) fn release_controls(&self, count: usize) {
        self.shared.release_controls(count);
    }

    /// Ends offers that were not taken in time. Returns when to do so again.
    pub(crate) fn pass_over(&self) -> Option<Instant> {
        self.shared.pass_over()
    }

    /// Frees the room of appends that have left the queue.
    pub(crate) fn release(&self, places: Cost) {
        self.shared.release(places);
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(crate) fn retention(&self) -> &Arc<Retention> {
        &self.shared.retention
    }

    /// A view of the queue for the stall monitor.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn watched(&self) -> Watched {
        Watched(Arc::clone(&self.shared))
    }

    /// Publishes the durable LSN.
    pub(crate) fn publish(&self, durable: Lsn) {
        self.progress
            .send_modify(|progress| progress.durable = durable);
    }

    /// Refuses all waiting and later requests.
    ///
    /// The cause is stored before the queue closes, so that a caller that is refused from now on learns it.
    pub(crate) fn poison(&mut self, fault: &IoFailure) {
        self.shared.poison(fault);
        let mut taken = Taken::default();
        self.take_waiting(&mut taken);
        taken.refuse(&Error::Poisoned(fault.clone()));
    }

    /// Publishes that the log has ended.
    pub(crate) fn finish(self, end: Result<()>) {
        self.progress
            .send_modify(|progress| progress.end = Some(end));
    }
}

impl Drop for Inbox {
    /// However the writer ends, no caller keeps waiting for room or for an answer.
    fn drop(&mut self) {
        self.close();
        self.take_waiting(&mut Taken::default());
    }
}

/// A view of the log for the stall monitor.
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub(crate) struct Watched(Arc<Shared>);

#[cfg(any(feature = "metrics", feature = "tracing"))]
impl Watched {
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Publishes the figures that change without the writer.
    pub(crate) fn publish(&self, now: Instant) {
        let used = self.0.used();
        let counters = &self.0.counters;
        counters.publish_state(now, used.bytes as u64, used.records as u64);
    }
}
