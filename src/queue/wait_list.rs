//! The wait list: which callers wait for room in a queue, and which get it.
//!
//! A queue has a size. A caller that finds room enters. A caller that does not waits here. Room is
//! *offered* to waiting callers in the order in which they came, as soon as there is enough for the
//! next one besides what was offered before, and that caller is woken. A later caller enters at
//! once only if no caller is left waiting, so small requests never take the room that a large one
//! needs.
//!
//! A caller is a future, which may be kept and never polled again. So an offer ends after
//! [`OFFER_MAX`]. The caller is then skipped, and no other caller waits for it. It keeps its turn:
//! if it is polled later, it comes before all callers that came after it. This is what
//! `Wal::submit` promises:
//!
//! 1. Offered room can be taken: no later caller can take it first.
//! 2. An offer that is not taken delays others by at most [`OFFER_MAX`], and only those for which
//!    there is no room besides it.
//! 3. A caller that is polled when it is woken is never overtaken by one that takes its room.
//! 4. Once the queue is closed, no caller waits.
//!
//! This module has no lock and wakes no caller. Its functions return the [`Wakers`] to be woken
//! once the lock is released: a waker is foreign code, which may call this module again.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::queue::cost::Cost;
use crate::wakers::Wakers;

/// The room of a queue, what is used of it, and which callers wait for it.
#[cfg_attr(test, derive(Clone))]
pub(super) struct WaitList {
    size: Cost,
    /// The room that requests in the queue take.
    used: Cost,
    /// The room that is offered.
    promised: Cost,
    offered: BTreeMap<Turn, Offer>,
    waiting: BTreeMap<Turn, Waiter>,
    /// The turn of the next caller that has to wait.
    next: u64,
    /// No offer ends before this time.
    first_end: Option<Instant>,
}

/// A caller's position in the order of waiting callers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Turn(u64);

impl Turn {
    /// The turn of a caller that has not waited yet: after all that have.
    pub(super) const NEW: Self = Self(u64::MAX);
}

#[derive(Clone, Copy)]
struct Offer {
    place: Cost,
    end: Instant,
}

#[cfg_attr(test, derive(Clone))]
struct Waiter {
    place: Cost,
    waker: Waker,
}

impl WaitList {
    pub(super) fn new(size: Cost) -> Self {
        Self {
            size,
            used: Cost::default(),
            promised: Cost::default(),
            offered: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            first_end: None,
        }
    }

    /// The room that requests in the queue take.
    pub(super) fn used(&self) -> Cost {
        self.used
    }

    /// The room that is offered.
    #[cfg(all(test, tidewal_shuttle))]
    pub(super) fn promised(&self) -> Cost {
        self.promised
    }

    /// Whether a caller waits for room that is not available.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes the room for a caller, if it was offered to it, or if the caller is first and there is
    /// enough.
    pub(super) fn enter(&mut self, turn: Turn, place: Cost) -> bool {
        if let Some(offer) = self.offered.remove(&turn) {
            self.promised -= offer.place;
            self.used += place;
            return true;
        }
        let first = self.waiting.first_key_value();
        let is_first = first.is_none_or(|(first, _)| turn < *first);
        let enters = is_first && self.has_room(place);
        if enters {
            self.used += place;
        }
        enters
    }

    /// Adds a caller that could not enter, and gives it a turn. Returns the waker that this one
    /// replaces, if the caller was waiting already.
    pub(super) fn wait(&mut self, turn: &mut Turn, place: Cost, waker: Waker) -> Option<Waker> {
        if *turn == Turn::NEW {
            self.next += 1;
            *turn = Turn(self.next);
        }
        let waiter = Waiter { place, waker };
        let replaced = self.waiting.insert(*turn, waiter);
        replaced.map(|waiter| waiter.waker)
    }

    /// Removes a caller that was dropped. Returns its waker, and those to be woken.
    pub(super) fn leave(&mut self, turn: Turn, now: Instant) -> (Option<Waker>, Wakers) {
        if let Some(offer) = self.offered.remove(&turn) {
            self.promised -= offer.place;
        }
        let gone = self.waiting.remove(&turn);
        (gone.map(|waiter| waiter.waker), self.offer(now))
    }

    /// Frees room.
    pub(super) fn give_back(&mut self, place: Cost, now: impl FnOnce() -> Instant) -> Wakers {
        self.used -= place;
        if self.waiting.is_empty() {
            return Wakers::default();
        }
        self.pass_over(now())
    }

    /// Ends offers that were not taken in time, and offers their room to the next callers.
    pub(super) fn pass_over(&mut self, now: Instant) -> Wakers {
        if self.first_end.is_some_and(|end| end <= now) {
            let promised = &mut self.promised;
            self.offered.retain(|_, offer| {
                let stays = now < offer.end;
                if !stays {
                    *promised -= offer.place;
                }
                stays
            });
            self.first_end = self.offered.values().map(|offer| offer.end).min();
        }
        self.offer(now)
    }

    /// When the next offer ends, if a caller waits for that.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.first_end.filter(|_| self.is_waited_for())
    }

    /// Returns the wakers of all waiting callers, because there will be no more room. Callers with
    /// an offer were woken before.
    pub(super) fn close(&mut self) -> Wakers {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().map(|waiter| waiter.waker).collect()
    }

    /// Offers the available room to the next callers.
    fn offer(&mut self, now: Instant) -> Wakers {
        let mut wakers = Wakers::default();
        while let Some(first) = self.waiting.first_entry() {
            let place = first.get().place;
            if !(self.used + self.promised + place).fits(self.size) {
                break;
            }
            let (turn, waiter) = first.remove_entry();
            let end = now + OFFER_MAX;
            self.promised += place;
            self.offered.insert(turn, Offer { place, end });
            self.first_end = Some(self.first_end.map_or(end, |first| first.min(end)));
            wakers.push(waiter.waker);
        }
        wakers
    }

    fn has_room(&self, place: Cost) -> bool {
        (self.used + self.promised + place).fits(self.size)
    }
}

/// How long other callers wait for one that was woken and does not take its offer. This is far
/// longer than a runtime takes to poll a woken task, unless something blocks its workers.
pub(super) const OFFER_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
