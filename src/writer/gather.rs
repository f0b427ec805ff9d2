//! From requests to batches: what is written together, and when.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::executor::{Executor, race};
use crate::lsn::Lsn;
use crate::options::{Durability, SyncPolicy, WalOptions};
use crate::queue::Inbox;
use crate::queue::completion::Completion;
use crate::queue::order::{Refusal, Refusals};
use crate::queue::request::{Append, Cost, Request, Taken};
use crate::stats::FlushCause;
use crate::writer::batch::{Batch, Due};

/// What the writer is to do next.
#[expect(
    clippy::large_enum_variant,
    reason = "a batch is moved a few times, and a box would be an allocation for each"
)]
pub(super) enum Turn {
    Commit(Batch),
    Truncate(Lsn, Completion<()>),
    Rotate(Duration, Completion<()>),
    /// Holds have moved.
    TruncatePutOff,
    /// What was written earlier is due to be synced.
    SyncDue,
    /// There is nothing to do.
    Idle,
    /// There will be no more requests.
    Closed,
}

/// What the gatherer has to know about the writer.
#[derive(Clone, Copy)]
pub(super) struct Situation {
    /// When what was written has to be synced.
    pub(super) due: Due,
    /// Whether there is something to do although nothing is requested.
    pub(super) idle_matters: bool,
}

/// Takes requests out of the queue.
pub(super) struct Gatherer {
    executor: Executor,
    policy: SyncPolicy,
    limit: Cost,
    pending: Taken,
    /// Whether more requests may come.
    open: bool,
    linger: Linger,
}

impl Gatherer {
    /// A batch never waits for more than the queue can hold, so its limits are the lower of the two.
    pub(super) fn new(executor: Executor, options: &WalOptions) -> Self {
        let limit = Cost {
            bytes: options.max_batch_bytes.min(options.queue_bytes),
            records: options.max_batch_records.min(options.queue_records),
        };
        Self {
            executor,
            policy: options.sync_policy,
            limit,
            pending: Taken::default(),
            open: true,
            linger: Linger::default(),
        }
    }

    /// Waits for what the writer is to do next.
    pub(super) async fn next(&mut self, inbox: &mut Inbox, situation: Situation) -> Turn {
        self.linger.wait(self.executor, inbox).await;
        let idle_at = situation
            .idle_matters
            .then(|| self.executor.now() + IDLE_AFTER);
        let mut batch = Batch::new();
        loop {
            inbox.take_waiting(&mut self.pending);
            let cause = self.fill(&mut batch, inbox);
            if let Some(cause) = cause.or_else(|| self.is_ready(&batch, situation.due, inbox)) {
                batch.cause = cause;
                return Turn::Commit(batch);
            }
            if batch.is_empty()
                && let Some(turn) = self.turn_without_batch(inbox, situation.due, idle_at)
            {
                return turn;
            }
            self.wait(inbox, batch.due.min(situation.due).time().or(idle_at))
                .await;
        }
    }

    /// Notes that the writer has just answered so many appends after a sync that took so long.
    pub(super) fn note_answered(&mut self, count: usize, sync_time: Duration) {
        if self.policy.lingers() {
            self.linger.note(count, sync_time);
        }
    }

    /// Takes back a batch that cannot be written.
    pub(super) fn take_back(&mut self, mut batch: Batch) {
        batch.claims.move_all_to(&mut self.pending.claims);
        let syncs = batch.syncs.into_iter().map(Request::Sync);
        self.pending.requests.extend(syncs);
    }

    /// Answers everything that was taken out of the queue and not written.
    pub(super) fn refuse(&mut self, error: &Error) {
        self.pending.refuse(error);
    }

    /// Moves pending requests into the batch, in their order. Returns why the batch has to go as it is,
    /// if it has to: it is full, or the next request is of another kind.
    fn fill(&mut self, batch: &mut Batch, inbox: &Inbox) -> Option<FlushCause> {
        loop {
            let before = batch.cost.records;
            let cause = self.fill_requests(batch, inbox);
            let records = batch.cost.records - before;
            let claims = &mut self.pending.claims;
            claims.move_to(&mut batch.claims, records as u64);
            if !self.refuse_next(inbox) {
                return cause;
            }
        }
    }

    /// Refuses what is next as long as it relies on an append that was refused. Returns whether it did.
    fn refuse_next(&mut self, inbox: &Inbox) -> bool {
        let mut places = Cost::default();
        let mut refusals = Refusals::of(&mut self.pending.claims);
        while let Some(Request::Append(append)) = self.pending.requests.front()
            && let Some(refusal) = Refusal::behind(append.order.as_ref())
        {
            refusals.push(refusal, append.cost().records as u64);
            places += inbox.place_of(append.cost());
            self.pending.requests.pop_front();
        }
        drop(refusals);
        let refused = places != Cost::default();
        if refused {
            inbox.release(places);
        }
        refused
    }

    fn fill_requests(&mut self, batch: &mut Batch, inbox: &Inbox) -> Option<FlushCause> {
        while let Some(request) = self.pending.requests.pop_front() {
            match request {
                Request::Append(append) if Refusal::behind(append.order.as_ref()).is_some() => {
                    self.pending.requests.push_front(Request::Append(append));
                    return None;
                }
                Request::Append(append) if self.admits(batch, append.cost()) => {
                    let place = inbox.place_of(append.cost());
                    let due = self.due_of(&append, batch);
                    batch.push(append, place, due);
                }
                Request::Sync(done) => batch.push_sync(done),
                Request::Hurry => inbox.note_hurry(),
                other => {
                    let cause = self.cause_before(&other, batch.cost);
                    let is_full = matches!(other, Request::Append(_));
                    self.pending.requests.push_front(other);
                    self.make_due_if_full(batch, is_full);
                    return (!batch.is_empty()).then_some(cause);
                }
            }
        }
        let cause = self.limit_reached(batch.cost);
        self.make_due_if_full(batch, cause.is_some());
        cause
    }

    /// Why a batch goes that the next request does not belong to.
    fn cause_before(&self, next: &Request, cost: Cost) -> FlushCause {
        match next {
            Request::Append(append) if cost.bytes + append.cost().bytes > self.limit.bytes => {
                FlushCause::BatchBytes
            }
            Request::Append(_) => FlushCause::BatchRecords,
            Request::Truncate(..) | Request::TruncatePutOff => FlushCause::Truncation,
            Request::Rotate(..) => FlushCause::Rotation,
            Request::Close | Request::Sync(_) | Request::Hurry => FlushCause::Close,
        }
    }

    fn limit_reached(&self, cost: Cost) -> Option<FlushCause> {
        if cost.bytes >= self.limit.bytes {
            Some(FlushCause::BatchBytes)
        } else {
            (cost.records >= self.limit.records).then_some(FlushCause::BatchRecords)
        }
    }

    fn admits(&self, batch: &Batch, cost: Cost) -> bool {
        batch.cost.records == 0
            || (batch.cost.bytes + cost.bytes <= self.limit.bytes
                && batch.cost.records + cost.records <= self.limit.records)
    }

    /// A batch that is full does not wait for the end of its interval.
    fn make_due_if_full(&self, batch: &mut Batch, is_full: bool) {
        if is_full && self.policy.interval().is_some() {
            batch.due = Due::Now;
        }
    }

    /// When an append has to be synced. Where the first of its kind says so for all, the others need not
    /// look at the clock.
    fn due_of(&self, append: &Append, batch: &Batch) -> Due {
        match (self.policy, append.durability, append.submitted) {
            (SyncPolicy::Always, Durability::Written, _) if batch.is_written_wanted => Due::Never,
            (SyncPolicy::Always, Durability::Written, _) => {
                Due::At(self.executor.now() + WRITTEN_SYNC_AFTER)
            }
            (SyncPolicy::Interval(interval), _, Some(submitted)) => Due::At(submitted + interval),
            (SyncPolicy::Manual, _, _) => Due::Never,
            (SyncPolicy::Always | SyncPolicy::Interval(_), _, _) => Due::Now,
        }
    }

    /// Why nothing is to be gained by waiting, if it is so: only an interval makes a batch wait for
    /// more, and only while no caller waits for its write, or for the places that it holds.
    fn is_ready(&self, batch: &Batch, due: Due, inbox: &Inbox) -> Option<FlushCause> {
        if batch.is_empty() {
            None
        } else if self.policy.interval().is_none() {
            Some(FlushCause::WriterIdle)
        } else if !batch.syncs.is_empty() {
            Some(FlushCause::Sync)
        } else if batch.is_written_wanted {
            Some(FlushCause::Written)
        } else if !self.open {
            Some(FlushCause::Close)
        } else if inbox.is_waited_for() {
            Some(FlushCause::QueueFull)
        } else {
            let is_over = batch.due.min(due).is_reached(|| self.executor.now());
            is_over.then_some(FlushCause::Interval)
        }
    }

    /// What to do if there is nothing to write.
    fn turn_without_batch(
        &mut self,
        inbox: &mut Inbox,
        due: Due,
        idle_at: Option<Instant>,
    ) -> Option<Turn> {
        match self.pending.requests.pop_front() {
            Some(Request::Truncate(before, done)) => return Some(Turn::Truncate(before, done)),
            Some(Request::Rotate(age, done)) => return Some(Turn::Rotate(age, done)),
            Some(Request::TruncatePutOff) => return Some(Turn::TruncatePutOff),
            // The queue ends after what it still holds.
            Some(Request::Close) => inbox.close(),
            Some(Request::Append(_) | Request::Sync(_) | Request::Hurry) => {
                unreachable!("an empty batch takes whatever belongs into one")
            }
            None if !self.open => return Some(Turn::Closed),
            None => {}
        }
        if due.is_reached(|| self.executor.now()) {
            return Some(Turn::SyncDue);
        }
        idle_at
            .is_some_and(|time| time <= self.executor.now())
            .then_some(Turn::Idle)
    }

    /// Waits for a request, or until `deadline`, or until a caller has not come for its place.
    async fn wait(&mut self, inbox: &mut Inbox, deadline: Option<Instant>) {
        if !self.open || !self.pending.requests.is_empty() {
            return;
        }
        let ends = [deadline, inbox.pass_over()];
        let until = async {
            self.executor
                .sleep_until(ends.into_iter().flatten().min())
                .await;
            true
        };
        self.open = race(inbox.wait(), until).await;
    }
}

/// The bounded moment for producers that were just answered.
///
/// Group commit with producers that wait for their answers falls into two groups that take turns, and
/// each append then costs two syncs. Waiting a moment for those just answered, as many as there were,
/// brings them into one group (`PostgreSQL`'s `commit_delay` and Tandem's commit timer are the same
/// idea). A lone producer never makes anybody wait.
#[derive(Default)]
struct Linger {
    expected: usize,
    /// A moving average.
    sync_time: Duration,
}

impl Linger {
    fn note(&mut self, count: usize, sync_time: Duration) {
        self.sync_time = (self.sync_time * 7 + sync_time) / 8;
        self.expected = if count >= 2 { count } else { 0 };
    }

    async fn wait(&mut self, executor: Executor, inbox: &Inbox) {
        let expected = std::mem::take(&mut self.expected);
        if expected == 0 {
            return;
        }
        let started = executor.now();
        let patience = LINGER_MAX.min(self.sync_time / 4);
        let limit = started + self.sync_time / 2;
        // Those who wait already are the other group: they do not count.
        let mut waiting = inbox.len();
        let wanted = waiting + expected;
        let mut deadline = started + patience;
        while waiting < wanted && executor.now() < deadline.min(limit) && executor.yield_now().await
        {
            let came = inbox.len();
            if came > waiting {
                waiting = came;
                deadline = executor.now() + patience;
            }
        }
    }
}

/// How long the log has to be idle before it leaves word how far it is durable. Long enough that
/// producers who append now and then do not have two blocks to sync instead of one.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// How long a record that was acknowledged when written may wait for a sync under
/// [`SyncPolicy::Always`].
const WRITTEN_SYNC_AFTER: Duration = Duration::from_millis(10);

/// The longest wait for the next one of the producers that were just answered.
const LINGER_MAX: Duration = Duration::from_micros(30);
