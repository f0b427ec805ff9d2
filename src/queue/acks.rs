//! Answers to appends, many at a time.
//!
//! Records are numbered as they are submitted: these numbers are *tickets*. Appends that the writer
//! takes out of the queue together share one [`Acks`]. They keep their order, so the answer to a
//! thousand of them is one [`AckRange`] of tickets, with the constant to add to each ticket to get
//! its LSN. Ranges may arrive in any order, because a refused append may be answered before one
//! that was written earlier. For a single append, only the waker of a waiting caller is stored.
//! Usually there is only the first range, which is read without a lock.
//!
//! The acks belong to the callers. The writer has a weak reference to them and the obligation to
//! answer ([`ack_guard`](super::ack_guard)).
//!
//! A waker is foreign code that may call this log again. It is cloned, woken and dropped outside of
//! the lock.

use std::future::Future;
use std::hint;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::options::Durability;
use crate::queue::primitives::{Mutex, MutexGuard};
use crate::small_deque::SmallDeque;

/// The caller's end: a future of the LSN of an append's last record.
pub(crate) struct Ack {
    acks: Arc<Acks>,
    /// The ticket of the last record.
    ticket: u64,
    durability: Durability,
    /// The slot of its waker, while it waits.
    slot: Option<usize>,
}

impl Ack {
    /// For a caller that polls for the answer later.
    pub(super) fn new(acks: &Arc<Acks>, ticket: u64, durability: Durability) -> Self {
        Self {
            acks: Arc::clone(acks),
            ticket,
            durability,
            slot: None,
        }
    }

    /// Stores the waker of a caller that waits from the beginning, when no answer can have arrived
    /// yet.
    pub(super) fn wake_with(&mut self, waker: Waker) {
        let mut tracks = self.acks.lock();
        let (slot, _) = tracks.of(self.durability).keep(None, self.ticket, waker);
        self.slot = Some(slot);
    }

    /// The answer, if it is in the first range.
    fn look(&self) -> Option<Result<Lsn>> {
        self.acks.first(self.durability).get()?.find(self.ticket)
    }

    /// Whether this waker is stored already and no answer has arrived.
    fn is_kept(&self, slot: usize, waker: &Waker) -> bool {
        let mut tracks = self.acks.lock();
        let kept = tracks.of(self.durability).kept(slot, self.ticket);
        kept.is_some_and(|kept| kept.waker.will_wake(waker))
    }

    /// Stores a waker, unless the answer has arrived in the meantime.
    fn keep(&mut self, waker: Waker) -> Poll<Result<Lsn>> {
        let mut tracks = self.acks.lock();
        // Checked under the lock under which it is set.
        if let Some(answer) = self.look()
            && !is_active(Mutant::AckOvertaken)
        {
            return Poll::Ready(answer);
        }
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

    /// Polls for the answer for `time`, and blocks the thread in the meantime. It does not yield,
    /// because that could cost the whole time slice of another thread.
    pub(super) fn look_for(&mut self, time: Duration) -> Option<Result<Lsn>> {
        let started = (!time.is_zero()).then(Instant::now)?;
        while started.elapsed() < time {
            if let Some(answer) = self.look() {
                self.slot = None;
                return Some(answer);
            }
            hint::spin_loop();
        }
        None
    }

    fn poll_ack(&mut self, waker: &Waker) -> Poll<Result<Lsn>> {
        if let Some(answer) = self.look() {
            return Poll::Ready(answer);
        }
        match self.slot {
            Some(slot) if self.is_kept(slot, waker) => Poll::Pending,
            _ => self.keep(waker.clone()),
        }
    }
}

impl Future for Ack {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.poll_ack(context.waker());
        if answer.is_ready() {
            // An answered append keeps no waker.
            self.slot = None;
        }
        answer
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let mut tracks = self.acks.lock();
            let forgotten = tracks.of(self.durability).forget(slot, self.ticket);
            drop(tracks);
            drop(forgotten);
        }
    }
}

/// The answers to appends that were taken out of the queue together.
#[derive(Default)]
pub(super) struct Acks {
    /// The first answer of each track. Set under the lock.
    first: [OnceLock<AckRange>; 2],
    tracks: Mutex<Tracks>,
}

/// Appends that wait for the write only may be answered earlier, and differently, than those that
/// wait for its sync.
#[derive(Default)]
struct Tracks([Track; 2]);

impl Tracks {
    fn of(&mut self, durability: Durability) -> &mut Track {
        &mut self.0[index(durability)]
    }
}

fn index(durability: Durability) -> usize {
    match durability {
        Durability::Written => 0,
        Durability::Durable => 1,
    }
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Tracks> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first(&self, durability: Durability) -> &OnceLock<AckRange> {
        &self.first[index(durability)]
    }

    /// Answers a range of tickets for callers that wait for the write only.
    pub(super) fn settle_written(&self, range: AckRange) {
        let woken = self.settle_track(&mut self.lock(), Durability::Written, range);
        woken.wake();
    }

    /// Answers a range of tickets for every caller without an answer. Returns how many were waiting
    /// for the sync.
    pub(super) fn settle(&self, range: AckRange, is_written: bool) -> usize {
        let mut tracks = self.lock();
        let written = (!is_written)
            .then(|| self.settle_track(&mut tracks, Durability::Written, range.clone()));
        let durable = self.settle_track(&mut tracks, Durability::Durable, range);
        drop(tracks);
        let count = durable.len();
        written.into_iter().for_each(Woken::wake);
        durable.wake();
        count
    }

    fn settle_track(&self, tracks: &mut Tracks, durability: Durability, range: AckRange) -> Woken {
        let track = tracks.of(durability);
        let woken = track.take_waiters(&range.tickets);
        if let Err(range) = self.first(durability).set(range) {
            track.ranges.push(range);
        }
        woken
    }
}

/// The answers for one durability, and the callers that wait.
#[derive(Default)]
struct Track {
    /// All answers except the first.
    ranges: SmallDeque<AckRange>,
    /// A slot belongs to its caller until that is answered.
    waiters: SmallDeque<Option<Waiter>>,
}

/// One answer to a range of tickets.
#[derive(Clone)]
pub(super) struct AckRange {
    pub(super) tickets: Range<u64>,
    pub(super) outcome: Result<LsnOffset>,
}

impl AckRange {
    fn find(&self, ticket: u64) -> Option<Result<Lsn>> {
        let is_answered = self.tickets.contains(&ticket);
        is_answered.then(|| self.outcome.clone().map(|offset| offset.lsn_of(ticket)))
    }
}

struct Waiter {
    ticket: u64,
    waker: Waker,
}

impl Track {
    fn find(&self, ticket: u64) -> Option<Result<Lsn>> {
        self.ranges.iter().find_map(|range| range.find(ticket))
    }

    /// The waker of a caller in its slot. Once the caller is answered, the slot may belong to
    /// another one.
    fn kept(&self, slot: usize, ticket: u64) -> Option<&Waiter> {
        let waiter = self.waiters.get(slot)?.as_ref();
        waiter.filter(|waiter| waiter.ticket == ticket)
    }

    /// Stores a waker, in the caller's slot if it has one. Returns the slot and its previous
    /// contents.
    fn keep(&mut self, slot: Option<usize>, ticket: u64, waker: Waker) -> (usize, Option<Waiter>) {
        let slot = slot.filter(|&slot| self.kept(slot, ticket).is_some());
        let slot = slot.unwrap_or(self.waiters.len());
        let waiter = Waiter { ticket, waker };
        if let Some(place) = self.waiters.get_mut(slot) {
            return (slot, place.replace(waiter));
        }
        self.waiters.push(Some(waiter));
        (slot, None)
    }

    fn forget(&mut self, slot: usize, ticket: u64) -> Option<Waiter> {
        self.kept(slot, ticket)?;
        self.waiters.get_mut(slot)?.take()
    }

    /// Takes the callers that wait for one of these tickets.
    fn take_waiters(&mut self, tickets: &Range<u64>) -> Woken {
        let is_answered = |waiter: &Waiter| tickets.contains(&waiter.ticket);
        if self.waiters.iter().flatten().all(is_answered) {
            // A caller that keeps an answered future must not keep the memory of all waiters.
            return Woken(std::mem::take(&mut self.waiters));
        }
        let slots = self.waiters.iter_mut();
        Woken(
            slots
                .map(|slot| slot.take_if(|waiter| is_answered(waiter)))
                .collect(),
        )
    }
}

/// Callers to be woken: all of them, even if a waker panics.
struct Woken(SmallDeque<Option<Waiter>>);

impl Woken {
    fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    fn wake(mut self) {
        self.wake_rest();
    }

    fn wake_rest(&mut self) {
        while let Some(waiter) = self.0.pop_front() {
            waiter.into_iter().for_each(|waiter| waiter.waker.wake());
        }
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.wake_rest();
    }
}

/// The difference between LSNs and tickets.
#[derive(Clone, Copy)]
pub(super) struct LsnOffset(u64);

impl LsnOffset {
    pub(super) fn between(ticket: u64, lsn: Lsn) -> Self {
        Self(lsn.get().wrapping_sub(ticket))
    }

    fn lsn_of(self, ticket: u64) -> Lsn {
        Lsn::new(ticket.wrapping_add(self.0))
    }
}
