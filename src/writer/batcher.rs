//! Turns requests into batches: what is written together, and when.

use std::hint;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::executor::{Executor, race};
use crate::lsn::Lsn;
use crate::options::{Durability, SyncPolicy, WalOptions};
use crate::queue::Inbox;
use crate::queue::append::AppendNote;
use crate::queue::completion::Completion;
use crate::queue::cost::Cost;
use crate::queue::frames::Frames;
use crate::queue::ordered::{Refusal, Refusals};
use crate::queue::request::{Request, Taken};
use crate::stats::FlushCause;
use crate::writer::batch::{Batch, Due};
use crate::writer::linger::Linger;

/// What the writer does next.
#[expect(
    clippy::large_enum_variant,
    reason = "a batch is moved a few times, and a box would be an allocation for each"
)]
pub(super) enum Action {
    Commit(Batch),
    Truncate(Lsn, Completion<()>),
    Rotate(Duration, Completion<()>),
    /// Holds have moved.
    TruncatePutOff,
    /// Records that were written earlier are due to be synced.
    SyncDue,
    /// There is nothing to do.
    Idle,
    /// No more requests will come.
    Closed,
}

/// What the batcher must know about the writer.
#[derive(Clone, Copy)]
pub(super) struct WriterState {
    /// When written records must be synced.
    pub(super) due: Due,
    /// Whether an idle writer has something to do, although nothing is requested.
    pub(super) idle_matters: bool,
}

/// Takes requests out of the queue.
pub(super) struct Batcher {
    executor: Executor,
    policy: SyncPolicy,
    limit: Cost,
    pending: Taken,
    /// Whether more requests may come.
    open: bool,
    linger: Linger,
    /// How long to poll for requests before the thread sleeps.
    busy_poll: Duration,
    /// Kept for its memory, so frames are rarely allocated.
    recycled: Frames,
    /// The largest buffer in bytes that is kept.
    recycled_limit: usize,
}

impl Batcher {
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
            busy_poll: options.busy_poll,
            recycled: Frames::default(),
            recycled_limit: options.max_batch_bytes.saturating_mul(2),
        }
    }

    /// Waits until there is something for the writer to do.
    pub(super) async fn next(&mut self, inbox: &mut Inbox, state: WriterState) -> Action {
        self.linger.wait(self.executor, inbox).await;
        let idle_at = state.idle_matters.then(|| self.executor.now() + IDLE_AFTER);
        let mut batch = Batch::new(std::mem::take(&mut self.recycled));
        loop {
            let left_over = self.fill(&mut batch, inbox);
            let cause = left_over.or_else(|| self.fill_from_queue(&mut batch, inbox));
            if let Some(cause) = cause.or_else(|| self.is_ready(&batch, state.due, inbox)) {
                batch.cause = cause;
                return Action::Commit(batch);
            }
            if batch.is_empty()
                && let Some(action) = self.action_without_batch(inbox, state.due, idle_at)
            {
                self.recycle(batch.frames);
                return action;
            }
            self.wait(inbox, batch.due.min(state.due).time().or(idle_at))
                .await;
        }
    }

    /// Announces an idle writer before it acknowledges a batch: a caller that appends again as soon as it has
    /// its answer may then poll for the next one, although the writer has not looked at the queue yet. Not
    /// if more appends are waiting already.
    pub(super) fn expect_idle(&self, inbox: &Inbox) {
        if !self.busy_poll.is_zero() && inbox.len() == 0 && self.pending.is_empty() {
            inbox.set_idle(true);
        }
    }

    /// Records that the writer has just answered `count` appends after a sync that took
    /// `sync_time`.
    pub(super) fn note_answered(&mut self, count: usize, sync_time: Duration) {
        if self.policy.lingers() {
            self.linger.note(count, sync_time);
        }
    }

    /// Takes back a batch that cannot be written.
    pub(super) fn take_back(&mut self, mut batch: Batch) {
        batch.acks.move_all_to(&mut self.pending.acks);
        let syncs = batch.syncs.into_iter();
        let syncs = syncs.map(|sync| Request::Sync(sync.done));
        self.pending.requests.extend(syncs);
    }

    /// Takes the memory of frames that were written.
    pub(super) fn recycle(&mut self, mut frames: Frames) {
        frames.clear(self.recycled_limit);
        self.recycled = frames;
    }

    /// Answers everything that was taken out of the queue and not written.
    pub(super) fn refuse(&mut self, error: &Error) {
        self.pending.refuse(error);
    }

    /// Takes what is waiting in the queue and moves it into the batch, unless a part of what was
    /// taken before is left. So the contents of the queue are always exchanged, and never copied
    /// under its lock.
    fn fill_from_queue(&mut self, batch: &mut Batch, inbox: &mut Inbox) -> Option<FlushCause> {
        if self.pending.is_empty() {
            self.pending.shrink(self.recycled_limit);
            inbox.take_waiting(&mut self.pending);
        }
        self.fill(batch, inbox)
    }

    /// Moves pending requests into the batch, in order. Returns why the batch must be written as it
    /// is, if it must: it is full, or the next request is of another kind.
    fn fill(&mut self, batch: &mut Batch, inbox: &Inbox) -> Option<FlushCause> {
        loop {
            let before = batch.cost;
            let cause = self.fill_requests(batch, inbox);
            let Taken { frames, acks, .. } = &mut self.pending;
            frames.move_to(&mut batch.frames, batch.cost.bytes - before.bytes);
            let records = batch.cost.records - before.records;
            acks.move_to(&mut batch.acks, records as u64);
            if !self.refuse_next(inbox) {
                return cause;
            }
        }
    }

    /// Refuses the next appends as long as they rely on a refused one. Returns whether it refused
    /// any.
    fn refuse_next(&mut self, inbox: &Inbox) -> bool {
        let mut refused = Cost::default();
        let mut refusals = Refusals::of(&mut self.pending.acks);
        while let Some(Request::Append(note)) = self.pending.requests.front()
            && let Some(refusal) = Refusal::behind(note.order.as_ref())
        {
            refusals.push(refusal, note.cost.records as u64);
            self.pending.frames.skip(note.cost.bytes);
            inbox.release(inbox.place_of(note.cost));
            refused += note.cost;
            self.pending.requests.pop_front();
        }
        drop(refusals);
        refused != Cost::default()
    }

    fn fill_requests(&mut self, batch: &mut Batch, inbox: &Inbox) -> Option<FlushCause> {
        while let Some(request) = self.pending.requests.front() {
            match request {
                Request::Append(note) if Refusal::behind(note.order.as_ref()).is_some() => {
                    return None;
                }
                Request::Append(_) => {
                    let Some(note) = self.admit(batch) else { break };
                    let due = self.due_of(&note, batch);
                    let places = inbox.place_of(note.cost);
                    batch.push(note, places, due);
                }
                Request::Sync(_) | Request::FlushNow => self.fill_control(batch, inbox),
                Request::Truncate(..)
                | Request::Rotate(..)
                | Request::TruncatePutOff
                | Request::Close => break,
            }
        }
        let cause = self.cause_before_next(batch);
        self.make_due_if_full(batch, cause);
        cause.filter(|_| !batch.is_empty())
    }

    fn fill_control(&mut self, batch: &mut Batch, inbox: &Inbox) {
        match self.pending.requests.pop_front() {
            Some(Request::Sync(done)) => batch.push_sync(done),
            _ => inbox.note_flush_request(),
        }
    }

    /// Takes as many of the next appends as the batch may still hold, and at least one if it is
    /// empty.
    fn admit(&mut self, batch: &Batch) -> Option<AppendNote> {
        let Taken {
            requests, frames, ..
        } = &mut self.pending;
        let Some(Request::Append(note)) = requests.front_mut() else {
            return None;
        };
        // The appends admitted before are still among the pending frames.
        let costs = || frames.costs_from(batch.cost.bytes - batch.frames.len());
        let least = costs().next().filter(|_| batch.cost.records == 0);
        let limit = self.limit.at_least(least.unwrap_or_default());
        let may_be = |cost: Cost| (batch.cost + cost).fits(limit);
        if !may_be(note.cost) {
            return note.split_front(costs(), may_be);
        }
        match requests.pop_front() {
            Some(Request::Append(note)) => Some(note),
            _ => None,
        }
    }

    /// Why a batch is written although more appends may come: it is full, or the next request does
    /// not belong to it.
    fn cause_before_next(&self, batch: &Batch) -> Option<FlushCause> {
        let cost = batch.cost;
        let next = match self.pending.requests.front() {
            Some(Request::Append(_)) => {
                let from = cost.bytes - batch.frames.len();
                self.pending.frames.costs_from(from).next()
            }
            Some(Request::Truncate(..) | Request::TruncatePutOff) => {
                return Some(FlushCause::Truncation);
            }
            Some(Request::Rotate(..)) => return Some(FlushCause::Rotation),
            Some(_) => return Some(FlushCause::Close),
            None => None,
        };
        // If there is no next append, a batch is full if the smallest one would not fit.
        let next = next.unwrap_or(Cost {
            bytes: 1,
            records: 1,
        });
        if cost.bytes + next.bytes > self.limit.bytes {
            Some(FlushCause::BatchBytes)
        } else {
            (cost.records + next.records > self.limit.records).then_some(FlushCause::BatchRecords)
        }
    }

    /// A batch that is full does not wait for the end of its interval.
    fn make_due_if_full(&self, batch: &mut Batch, cause: Option<FlushCause>) {
        let is_full = matches!(
            cause,
            Some(FlushCause::BatchBytes | FlushCause::BatchRecords)
        );
        if is_full && self.policy.interval().is_some() {
            batch.due = Due::Now;
        }
    }

    /// When appends must be synced. If the first append of its kind determines it for all, the
    /// others do not read the clock.
    fn due_of(&self, note: &AppendNote, batch: &Batch) -> Due {
        match (self.policy, note.durability, note.submitted) {
            (SyncPolicy::Always, Durability::Written, _) if batch.is_written_wanted => Due::Never,
            (SyncPolicy::Always, Durability::Written, _) => {
                Due::At(self.executor.now() + WRITTEN_SYNC_AFTER)
            }
            (SyncPolicy::Interval(interval), _, Some(submitted)) => Due::At(submitted + interval),
            (SyncPolicy::Manual, _, _) => Due::Never,
            (SyncPolicy::Always | SyncPolicy::Interval(_), _, _) => Due::Now,
        }
    }

    /// The cause to write the batch now, if waiting gains nothing: a batch waits for more only
    /// under an interval, and only while no caller waits for its write or for the room that it
    /// takes.
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
    fn action_without_batch(
        &mut self,
        inbox: &mut Inbox,
        due: Due,
        idle_at: Option<Instant>,
    ) -> Option<Action> {
        match self.pending.requests.pop_front() {
            Some(Request::Truncate(before, done)) => return Some(Action::Truncate(before, done)),
            Some(Request::Rotate(age, done)) => return Some(Action::Rotate(age, done)),
            Some(Request::TruncatePutOff) => return Some(Action::TruncatePutOff),
            // The queue ends after the requests that it still holds.
            Some(Request::Close) => inbox.close(),
            Some(Request::Append(_) | Request::Sync(_) | Request::FlushNow) => {
                unreachable!("an empty batch takes whatever belongs into one")
            }
            None if !self.open => return Some(Action::Closed),
            None => {}
        }
        if due.is_reached(|| self.executor.now()) {
            return Some(Action::SyncDue);
        }
        idle_at
            .is_some_and(|time| time <= self.executor.now())
            .then_some(Action::Idle)
    }

    /// Polls for a request for as long as the option allows, and until `end` at most. Returns
    /// whether one has come.
    fn finds_busily(&self, inbox: &Inbox, end: Option<Instant>) -> bool {
        if self.busy_poll.is_zero() || self.executor != Executor::Thread {
            return false;
        }
        let limit = self.executor.now() + self.busy_poll;
        let limit = end.map_or(limit, |end| end.min(limit));
        inbox.set_idle(true);
        while inbox.len() == 0 && self.executor.now() < limit {
            hint::spin_loop();
        }
        inbox.len() > 0
    }

    /// Waits for a request, until `deadline`, or until an offer of room has expired.
    async fn wait(&mut self, inbox: &mut Inbox, deadline: Option<Instant>) {
        if !self.open || !self.pending.requests.is_empty() {
            return;
        }
        let ends = [deadline, inbox.pass_over()];
        let end = ends.into_iter().flatten().min();
        if !self.finds_busily(inbox, end) {
            let until = async {
                self.executor.sleep_until(end).await;
                true
            };
            self.open = race(inbox.wait(), until).await;
        }
    }
}

/// How long the log must be idle before it writes the mark. It is long enough that occasional
/// appends do not have two blocks to sync instead of one.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// How long a record that was acknowledged as written may wait for its sync under
/// [`SyncPolicy::Always`].
const WRITTEN_SYNC_AFTER: Duration = Duration::from_millis(10);
