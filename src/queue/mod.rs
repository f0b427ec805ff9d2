//! Between the callers and the writer: requests one way, answers the other.
//!
//! [`channel`] makes the two ends. A [`Submitter`] belongs to the handles and is gone with the last of
//! them; the [`Inbox`] belongs to the writer. What both see stands in [`Link`]: the budgets that bound
//! the queue, the cause if the log is poisoned, the counters.

mod budget;
pub(crate) mod completion;
pub(crate) mod request;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};

use crate::error::{Error, Fault, Result};
use crate::lsn::Lsn;
use crate::queue::budget::Budget;
use crate::queue::request::{Append, Cost, Request};
use crate::retention::Retention;
use crate::stats::{Counters, Stats};

/// Makes the two ends of a queue with these budgets, for a log that is durable up to `durable`.
pub(crate) fn channel(bytes: usize, records: usize, durable: Lsn) -> (Submitter, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (progress, watching) = watch::channel(Progress { durable, end: None });
    let link = Arc::new(Link {
        budget: Budget::new(bytes, records),
        fault: OnceLock::new(),
        waiting: AtomicUsize::new(0),
        hurried: AtomicBool::new(false),
        counters: Counters::default(),
        retention: Arc::default(),
    });
    let submitter = Submitter {
        sender,
        progress: watching,
        link: Arc::clone(&link),
    };
    (
        submitter,
        Inbox {
            receiver,
            progress,
            link,
        },
    )
}

/// How far the log is durable, and how it ended if it did.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) durable: Lsn,
    pub(crate) end: Option<Result<()>>,
}

/// The callers' end.
pub(crate) struct Submitter {
    sender: mpsc::UnboundedSender<Request>,
    pub(crate) progress: watch::Receiver<Progress>,
    link: Arc<Link>,
}

impl Submitter {
    /// Waits for a place in the queue and takes it.
    ///
    /// Cancel safe: if dropped before it returns, nothing was submitted.
    pub(crate) async fn submit(&self, append: Append) -> Result<()> {
        let share = self.link.budget.share(append.cost());
        if !matches!(self.link.budget.try_acquire(share), Ok(true)) {
            let _waiting = Waiting::note(&self.link);
            self.hurry();
            let acquired = self.link.budget.acquire(share).await;
            acquired.map_err(|_| self.link.refusal())?;
        }
        self.send(Request::Append(append))
    }

    /// Wakes the writer, so that no batch sits in the queue until the end of its interval while somebody
    /// waits for its places. One word at a time is enough.
    fn hurry(&self) {
        if !self.link.hurried.swap(true, Ordering::AcqRel) {
            // An error means that the log is closed, which the caller is about to hear.
            let _ = self.send(Request::Hurry);
        }
    }

    /// Takes a place in the queue if there is one now.
    pub(crate) fn try_submit(&self, append: Append) -> Result<()> {
        match self
            .link
            .budget
            .try_acquire(self.link.budget.share(append.cost()))
        {
            Ok(true) => self.send(Request::Append(append)),
            Ok(false) => Err(Error::Full),
            Err(_) => Err(self.link.refusal()),
        }
    }

    /// Waits for a place in the queue for a request that brings no record. It needs one, because its
    /// caller may have gone when it is served, and more may have come.
    pub(crate) async fn ask(&self, request: Request) -> Result<()> {
        match self.link.budget.acquire_ask().await {
            Ok(()) => self.send(request),
            Err(_) => Err(self.link.refusal()),
        }
    }

    /// Asks for the end, which takes no place.
    pub(crate) fn close(&self) {
        // An error means that it is closed, or closing, already.
        let _ = self.send(Request::Close);
    }

    fn send(&self, request: Request) -> Result<()> {
        self.sender.send(request).map_err(|_| self.link.refusal())
    }

    #[cfg(feature = "archive")]
    pub(crate) fn retention(&self) -> &Arc<Retention> {
        &self.link.retention
    }

    pub(crate) fn stats(&self) -> Stats {
        let used = self.link.budget.used();
        Stats {
            queued_bytes: used.bytes as u64,
            queued_records: used.records as u64,
            ..self.link.counters.snapshot()
        }
    }
}

/// The writer's end.
pub(crate) struct Inbox {
    receiver: mpsc::UnboundedReceiver<Request>,
    progress: watch::Sender<Progress>,
    link: Arc<Link>,
}

impl Inbox {
    /// Waits for a request; `None` once there will be no more.
    ///
    /// Cancel safe: a request is either returned or still in the queue.
    pub(crate) async fn receive(&mut self) -> Option<Request> {
        self.receiver.recv().await
    }

    /// Takes what waits now.
    pub(crate) fn take_waiting(&mut self, requests: &mut VecDeque<Request>) {
        while requests.len() < TAKE_LIMIT {
            match self.receiver.try_recv() {
                Ok(request) => requests.push_back(request),
                Err(_) => return,
            }
        }
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Takes no more requests; those that were taken are still received.
    pub(crate) fn close(&mut self) {
        self.receiver.close();
        self.link.budget.close();
    }

    /// What an append of this cost takes of the queue's budget.
    pub(crate) fn place_of(&self, cost: Cost) -> Cost {
        self.link.budget.share(cost)
    }

    /// Whether somebody waits for a place.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.link.waiting.load(Ordering::Acquire) > 0
    }

    /// Takes note of a [`Request::Hurry`]: the next one may come.
    pub(crate) fn note_hurry(&self) {
        self.link.hurried.store(false, Ordering::Release);
    }

    /// Gives back the places of requests that brought no record.
    pub(crate) fn release_asks(&self, count: usize) {
        self.link.budget.release_asks(count);
    }

    /// Gives back places of appends that left the queue.
    pub(crate) fn release(&self, places: Cost) {
        self.link.budget.release(places);
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.link.counters
    }

    pub(crate) fn retention(&self) -> &Arc<Retention> {
        &self.link.retention
    }

    /// Tells everybody how far the log is durable now.
    pub(crate) fn publish(&self, durable: Lsn) {
        self.progress
            .send_modify(|progress| progress.durable = durable);
    }

    /// Refuses what waits and what comes.
    ///
    /// The cause is stored before the queue closes, so that whoever is refused from now on learns it.
    pub(crate) fn poison(&mut self, fault: &Fault) {
        // An error means that an earlier cause stands, which is the one to keep.
        let _ = self.link.fault.set(fault.clone());
        self.close();
        while let Ok(request) = self.receiver.try_recv() {
            request.refuse(&Error::Poisoned(fault.clone()));
        }
    }

    /// Says that the log has ended. Nothing of it is left to wait for.
    pub(crate) fn finish(self, end: Result<()>) {
        self.progress
            .send_modify(|progress| progress.end = Some(end));
    }
}

impl Drop for Inbox {
    /// However the writer ends, nobody goes on waiting for a place in its queue.
    fn drop(&mut self) {
        self.close();
    }
}

/// What both ends see.
struct Link {
    budget: Budget,
    fault: OnceLock<Fault>,
    /// How many callers wait for a place.
    waiting: AtomicUsize,
    /// Whether a [`Request::Hurry`] is on its way.
    hurried: AtomicBool,
    counters: Counters,
    retention: Arc<Retention>,
}

impl Link {
    /// Why the log takes nothing more.
    fn refusal(&self) -> Error {
        self.fault
            .get()
            .map_or(Error::Closed, |fault| Error::Poisoned(fault.clone()))
    }
}

/// One caller who waits for a place, until it has it or goes away.
struct Waiting<'a>(&'a Link);

impl<'a> Waiting<'a> {
    fn note(link: &'a Link) -> Self {
        link.waiting.fetch_add(1, Ordering::AcqRel);
        Self(link)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Requests taken out of the queue at once; it bounds the memory that holds them beside the queue.
const TAKE_LIMIT: usize = 4096;
