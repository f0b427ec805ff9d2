//! Answers to appends, many at a time.
//!
//! Appends have numbers, their *tickets*: as many as records were submitted before them. Those that
//! the writer takes out of the queue together share one set of [`Answers`], and since they keep their
//! order, an answer to a thousand of them is one note: from this ticket to that one, the LSN is the
//! ticket and so much more. Notes may come in any order: what is refused can hear of it before what was
//! written earlier. Nothing is allocated, kept or touched for a single append, but for the waker of a
//! caller who waits.
//!
//! The answers belong to the callers; the writer only knows of them. The duty to answer is a chain of
//! types: [`Claim`] - place -> [`Placed`] - on file -> [`OnFile`] - durable. Each consumes the one before
//! it, good news needs a receipt, and what is dropped on the way answers [`Error::Interrupted`], so that
//! no path through the writer can forget a caller.
//!
//! A waker is foreign code, which may come back to this log: it is cloned, woken and dropped
//! outside of the lock.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, IoFailure, Result};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::small_deque::SmallDeque;
use crate::storage::{Present, Synced, Wrote};

/// The caller's side: a future of the LSN of an append's last record.
pub(crate) struct Answer {
    answers: Arc<Answers>,
    /// The ticket of its last record.
    ticket: u64,
    durability: Durability,
    /// Where its waker is kept.
    slot: Option<usize>,
}

impl Answer {
    pub(super) fn new(answers: &Arc<Answers>, ticket: u64, durability: Durability) -> Self {
        Self {
            answers: Arc::clone(answers),
            ticket,
            durability,
            slot: None,
        }
    }

    /// The answer if it is there. Otherwise `Pending` if `waker` is kept already, and `None` if it is not.
    fn look(&self, waker: &Waker) -> Option<Poll<Result<Lsn>>> {
        let mut tracks = self.answers.lock();
        let track = tracks.of(self.durability);
        if let Some(answer) = track.find(self.ticket) {
            return Some(Poll::Ready(answer));
        }
        let kept = track.kept(self.slot?, self.ticket)?;
        kept.waker.will_wake(waker).then_some(Poll::Pending)
    }

    /// Keeps a waker, unless the answer has come in the meantime.
    fn keep(&mut self, waker: Waker) -> Poll<Result<Lsn>> {
        let mut tracks = self.answers.lock();
        let track = tracks.of(self.durability);
        if let Some(answer) = track.find(self.ticket) {
            return Poll::Ready(answer);
        }
        let (slot, replaced) = track.keep(self.slot, self.ticket, waker);
        drop(tracks);
        drop(replaced);
        self.slot = Some(slot);
        Poll::Pending
    }
}

impl Future for Answer {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let looked = self.look(context.waker());
        looked.unwrap_or_else(|| self.keep(context.waker().clone()))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let mut tracks = self.answers.lock();
            let forgotten = tracks.of(self.durability).forget(slot, self.ticket);
            drop(tracks);
            drop(forgotten);
        }
    }
}

/// What is known of the appends that were taken out of the queue together.
#[derive(Default)]
pub(super) struct Answers(Mutex<Tracks>);

/// Those who wait for a write only may hear earlier, and better, than those who wait for its sync.
#[derive(Default)]
struct Tracks {
    written: Track,
    durable: Track,
}

impl Tracks {
    fn of(&mut self, durability: Durability) -> &mut Track {
        match durability {
            Durability::Written => &mut self.written,
            Durability::Durable => &mut self.durable,
        }
    }
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Tracks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a run of tickets to those who wait for the write only.
    fn settle_written(&self, run: Run) {
        let woken = self.lock().written.settle(run);
        woken.wake();
    }

    /// Answers a run of tickets to everybody who has no answer. Returns how many callers were waiting for
    /// the sync.
    fn settle(&self, run: Run, is_written: bool) -> usize {
        let mut tracks = self.lock();
        let written = (!is_written).then(|| tracks.written.settle(run.clone()));
        let durable = tracks.durable.settle(run);
        drop(tracks);
        let count = durable.0.len();
        written.into_iter().for_each(Sleepers::wake);
        durable.wake();
        count
    }
}

/// The answers to one kind of waiting, and who waits.
#[derive(Default)]
struct Track {
    runs: SmallDeque<Run>,
    /// A slot is its caller's until that is answered.
    sleepers: SmallDeque<Option<Sleeper>>,
}

/// One answer to a run of tickets.
#[derive(Clone)]
struct Run {
    tickets: Range<u64>,
    outcome: Result<Shift>,
}

struct Sleeper {
    ticket: u64,
    waker: Waker,
}

impl Track {
    fn find(&self, ticket: u64) -> Option<Result<Lsn>> {
        let run = self.runs.iter().find(|run| run.tickets.contains(&ticket))?;
        Some(run.outcome.clone().map(|shift| shift.lsn_of(ticket)))
    }

    /// What a caller keeps in its slot. Once it is answered, the slot may belong to another caller.
    fn kept(&self, slot: usize, ticket: u64) -> Option<&Sleeper> {
        let sleeper = self.sleepers.get(slot)?.as_ref();
        sleeper.filter(|sleeper| sleeper.ticket == ticket)
    }

    /// Keeps a waker, in the slot that it has if it has one. Returns the slot, and what was there.
    fn keep(&mut self, slot: Option<usize>, ticket: u64, waker: Waker) -> (usize, Option<Sleeper>) {
        let slot = slot.filter(|&slot| self.kept(slot, ticket).is_some());
        let slot = slot.unwrap_or(self.sleepers.len());
        let sleeper = Sleeper { ticket, waker };
        if let Some(place) = self.sleepers.get_mut(slot) {
            return (slot, place.replace(sleeper));
        }
        self.sleepers.push(Some(sleeper));
        (slot, None)
    }

    fn forget(&mut self, slot: usize, ticket: u64) -> Option<Sleeper> {
        self.kept(slot, ticket)?;
        self.sleepers.get_mut(slot)?.take()
    }

    fn settle(&mut self, run: Run) -> Sleepers {
        let is_answered = |sleeper: &mut Sleeper| run.tickets.contains(&sleeper.ticket);
        let slots = self.sleepers.iter_mut();
        let woken = slots.filter_map(|slot| slot.take_if(is_answered)).collect();
        if self.sleepers.iter().all(Option::is_none) {
            // Who keeps an answer that came shall not keep the memory of all who waited.
            self.sleepers = SmallDeque::default();
        }
        self.runs.push(run);
        Sleepers(woken)
    }
}

/// Callers to be woken: all of them, even if a waker panics.
struct Sleepers(SmallDeque<Sleeper>);

impl Sleepers {
    fn wake(mut self) {
        self.wake_rest();
    }

    fn wake_rest(&mut self) {
        while let Some(sleeper) = self.0.pop_front() {
            sleeper.waker.wake();
        }
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.wake_rest();
    }
}

/// How far LSNs are ahead of tickets.
#[derive(Clone, Copy)]
struct Shift(u64);

impl Shift {
    fn between(ticket: u64, lsn: Lsn) -> Self {
        Self(lsn.get().wrapping_sub(ticket))
    }

    fn lsn_of(self, ticket: u64) -> Lsn {
        Lsn::new(ticket.wrapping_add(self.0))
    }
}

/// The duty to answer a run of appends. However it ends, each of them is answered once.
struct Duty {
    /// `None` if the caller no longer wants the answer.
    answers: Weak<Answers>,
    /// Those that are not answered yet.
    tickets: Range<u64>,
    /// Whether those who wait for the write have their answer.
    is_written: bool,
}

impl Duty {
    fn settle(mut self, outcome: Result<Shift>) -> usize {
        self.settle_rest(outcome)
    }

    fn settle_rest(&mut self, outcome: Result<Shift>) -> usize {
        let tickets = self.tickets.clone();
        if tickets.is_empty() {
            return 0;
        }
        self.tickets.start = tickets.end;
        let run = Run { tickets, outcome };
        let answers = self.answers.upgrade();
        answers.map_or(0, |answers| answers.settle(run, self.is_written))
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        self.settle_rest(Err(Error::Interrupted));
    }
}

/// Appends that are not in a file: the records of a run of tickets.
pub(super) struct Claim(Duty);

impl Claim {
    pub(super) fn new(answers: Weak<Answers>, tickets: Range<u64>) -> Self {
        Self(Duty {
            answers,
            tickets,
            is_written: false,
        })
    }

    fn records(&self) -> u64 {
        self.0.tickets.end - self.0.tickets.start
    }

    /// Answers that they are certainly not appended.
    fn refuse(self, error: &Error) {
        self.0.settle(Err(error.clone()));
    }

    /// Gives them their LSNs, from `first` on.
    fn place(self, first: Lsn) -> Placed {
        Placed {
            last: first.plus(self.records() - 1),
            duty: self.0,
        }
    }

    /// Cuts off the first so many records.
    fn split(&mut self, records: u64) -> Self {
        let middle = self.0.tickets.start + records;
        let tickets = self.0.tickets.start..middle;
        self.0.tickets.start = middle;
        Self::new(Weak::clone(&self.0.answers), tickets)
    }
}

/// Claims in the order of their tickets.
#[derive(Default)]
pub(crate) struct Claims(SmallDeque<Claim>);

impl Claims {
    pub(super) fn push(&mut self, claim: Claim) {
        self.0.push(claim);
    }

    /// Moves all behind what `other` has.
    pub(crate) fn move_all_to(&mut self, other: &mut Self) {
        other.0.extend(self.0.drain());
    }

    /// Moves those of the first so many records behind what `other` has.
    pub(crate) fn move_to(&mut self, other: &mut Self, mut records: u64) {
        while records > 0 {
            let first = self.0.front_mut().expect("a claim for every record");
            let piece = if first.records() > records {
                Some(first.split(records))
            } else {
                self.0.pop_front()
            };
            let piece = piece.expect("a claim for every record");
            records -= piece.records();
            other.push(piece);
        }
    }

    /// Gives all of them their LSNs, from `first` on.
    pub(crate) fn place(self, first: Lsn) -> SmallDeque<Placed> {
        let mut next = first;
        let place = |claim: Claim| {
            let placed = claim.place(next);
            next = placed.last.next();
            placed
        };
        self.0.into_iter().map(place).collect()
    }

    /// Answers that they are certainly not appended.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.0.drain().for_each(|claim| claim.refuse(error));
    }
}

/// Appends that are on their way into a file.
pub(crate) struct Placed {
    last: Lsn,
    duty: Duty,
}

impl Placed {
    /// They are with the operating system.
    pub(crate) fn on_file(self, _: Wrote) -> OnFile {
        OnFile(self)
    }

    /// Answers that the outcome is unknown.
    pub(crate) fn fail(self, fault: &IoFailure) {
        self.duty.settle(Err(Error::OutcomeUnknown(fault.clone())));
    }

    fn shift(&self) -> Shift {
        Shift::between(self.duty.tickets.end - 1, self.last)
    }
}

/// Appends that a killed process does not lose any more.
pub(crate) struct OnFile(Placed);

impl OnFile {
    /// The LSN of the last record.
    pub(crate) fn last(&self) -> Lsn {
        self.0.last
    }

    /// Answers those who asked for [`Durability::Written`]: they are in a file that can be found.
    pub(crate) fn written(&mut self, _: Present) {
        let Placed { duty, .. } = &mut self.0;
        duty.is_written = true;
        if let Some(answers) = duty.answers.upgrade() {
            let (tickets, outcome) = (duty.tickets.clone(), Ok(self.0.shift()));
            answers.settle_written(Run { tickets, outcome });
        }
    }

    /// Answers that they are on disk. Returns how many callers were waiting. There is no other way to
    /// answer an append so.
    pub(crate) fn durable(self, _: Synced) -> usize {
        let shift = self.0.shift();
        self.0.duty.settle(Ok(shift))
    }

    /// Answers that the outcome is unknown.
    pub(crate) fn fail(self, fault: &IoFailure) {
        self.0.fail(fault);
    }

    /// Whether a caller holds an answer to one of these appends, or of others that were taken with them.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.duty.answers.strong_count() > 0
    }
}
