//! Answers to appends, many at a time.
//!
//! Appends have numbers, their *tickets*: as many as records were submitted before them. Those that
//! the writer takes out of the queue together share one set of [`Answers`], and since they keep their
//! order, an answer to a thousand of them is one note: up to this ticket, an LSN is its ticket and so
//! much more. Nothing is allocated, kept or touched for a single append, but for the waker of a caller
//! who waits.
//!
//! The duty to answer is a chain of types: [`Claim`] - place -> [`Placed`] - written -> [`OnFile`] -
//! durable. Each consumes the one before it, good news needs a receipt, and what is dropped on the way
//! answers [`Error::Interrupted`], so that no path through the writer can forget a caller.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Fault, Result};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::storage::{Synced, Wrote};

/// The caller's side: a future of the LSN of an append's last record.
pub(crate) struct Answer {
    answers: Arc<Answers>,
    /// That of its last record.
    ticket: u64,
    durability: Durability,
    /// Where its waker is kept.
    place: Option<usize>,
}

impl Answer {
    pub(super) fn new(answers: &Arc<Answers>, ticket: u64, durability: Durability) -> Self {
        Self {
            answers: Arc::clone(answers),
            ticket,
            durability,
            place: None,
        }
    }
}

impl Future for Answer {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            answers,
            ticket,
            durability,
            place,
        } = &mut *self;
        let mut both = answers.lock();
        let one = both.of(*durability);
        let Some(answer) = one.find(*ticket) else {
            *place = Some(one.keep(*place, *ticket, context.waker()));
            return Poll::Pending;
        };
        *place = None;
        Poll::Ready(answer)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.answers.lock().of(self.durability).forget(place);
        }
    }
}

/// What is known of the appends that were taken out of the queue together.
#[derive(Default)]
pub(crate) struct Answers(Mutex<Both>);

/// Those who wait for a write only may hear earlier, and better, than those who wait for its sync.
#[derive(Default)]
struct Both {
    written: Track,
    durable: Track,
}

impl Both {
    fn of(&mut self, durability: Durability) -> &mut Track {
        match durability {
            Durability::Written => &mut self.written,
            Durability::Durable => &mut self.durable,
        }
    }
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Both> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a run of tickets. Returns how many callers were waiting.
    ///
    /// They are woken after the lock is gone: they want it next.
    fn settle(&self, durability: Durability, tickets: Range<u64>, outcome: Result<Shift>) -> usize {
        let woken = self.lock().of(durability).settle(tickets, outcome);
        let count = woken.len();
        woken.into_iter().for_each(Waker::wake);
        count
    }
}

/// The answers to one kind of waiting, and who waits.
#[derive(Default)]
struct Track {
    /// In the order in which they were answered: what was refused may hear of it before what has
    /// failed.
    runs: Vec<Run>,
    /// A place stays where it is until it is answered.
    waiting: Vec<Option<Waiting>>,
}

/// One answer to a run of tickets.
struct Run {
    tickets: Range<u64>,
    outcome: Result<Shift>,
}

struct Waiting {
    ticket: u64,
    waker: Waker,
}

impl Track {
    fn find(&self, ticket: u64) -> Option<Result<Lsn>> {
        let run = self.runs.iter().find(|run| run.tickets.contains(&ticket))?;
        Some(run.outcome.clone().map(|shift| shift.lsn_of(ticket)))
    }

    /// Keeps a waker, in the place that it has if it has one.
    fn keep(&mut self, place: Option<usize>, ticket: u64, waker: &Waker) -> usize {
        let place = place.unwrap_or(self.waiting.len());
        if place == self.waiting.len() {
            self.waiting.push(None);
        }
        match &mut self.waiting[place] {
            Some(kept) => kept.waker.clone_from(waker),
            vacant => {
                *vacant = Some(Waiting {
                    ticket,
                    waker: waker.clone(),
                });
            }
        }
        place
    }

    fn forget(&mut self, place: usize) {
        self.waiting[place] = None;
    }

    fn settle(&mut self, tickets: Range<u64>, outcome: Result<Shift>) -> Vec<Waker> {
        let is_answered = |waiting: &mut Waiting| tickets.contains(&waiting.ticket);
        let woken = self
            .waiting
            .iter_mut()
            .filter_map(|place| place.take_if(is_answered))
            .map(|waiting| waiting.waker)
            .collect();
        self.runs.push(Run { tickets, outcome });
        woken
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
    answers: Arc<Answers>,
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
        let woken = if self.is_written {
            0
        } else {
            self.answers
                .settle(Durability::Written, tickets.clone(), outcome.clone())
        };
        woken + self.answers.settle(Durability::Durable, tickets, outcome)
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        self.settle_rest(Err(Error::Interrupted));
    }
}

/// Appends that are not in a file: the records of a run of tickets.
pub(crate) struct Claim(Duty);

impl Claim {
    pub(super) fn new(answers: Arc<Answers>, tickets: Range<u64>) -> Self {
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
    pub(crate) fn refuse(self, error: &Error) {
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
        Self::new(Arc::clone(&self.0.answers), tickets)
    }
}

/// Claims in the order of their tickets.
#[derive(Default)]
pub(crate) struct Claims(VecDeque<Claim>);

impl Claims {
    pub(crate) fn push(&mut self, claim: Claim) {
        self.0.push_back(claim);
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
    pub(crate) fn place(self, first: Lsn) -> Vec<Placed> {
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
        self.0.drain(..).for_each(|claim| claim.refuse(error));
    }
}

/// Appends that are on their way into a file.
pub(crate) struct Placed {
    last: Lsn,
    duty: Duty,
}

impl Placed {
    /// Answers those who asked for [`Durability::Written`]: they are with the operating system.
    pub(crate) fn written(mut self, _: Wrote) -> OnFile {
        let shift = self.shift();
        self.duty.is_written = true;
        let tickets = self.duty.tickets.clone();
        self.duty
            .answers
            .settle(Durability::Written, tickets, Ok(shift));
        OnFile(self)
    }

    /// Answers that the outcome is unknown.
    pub(crate) fn fail(self, fault: &Fault) {
        self.duty.settle(Err(Error::Failed(fault.clone())));
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

    /// Answers that they are on disk. Returns how many callers were waiting. There is no other way to
    /// answer an append so.
    pub(crate) fn durable(self, _: Synced) -> usize {
        let shift = self.0.shift();
        self.0.duty.settle(Ok(shift))
    }

    /// Answers that the outcome is unknown.
    pub(crate) fn fail(self, fault: &Fault) {
        self.0.fail(fault);
    }

    /// Whether a caller holds an answer of these appends, or of others that were taken with them.
    pub(crate) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0.duty.answers) > 1
    }
}
