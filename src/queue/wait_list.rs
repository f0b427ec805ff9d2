//! Who gets room in a queue, and who waits for it.
//!
//! A queue has a size. A caller who finds room enters; one who does not waits here. Room is *offered* to
//! those who wait, in the order in which they came, as soon as there is enough for one of them beside
//! what was offered before, and the one it is offered to is woken. Who comes later enters at once only
//! if no one is left waiting, so that small requests never take the room that a large one needs.
//!
//! A caller is a future, which may be kept and never polled again. So an offer ends after [`OFFER_MAX`].
//! The caller is then forgotten and no one waits for it. If it is polled later it has kept its place in
//! the order, and is first in turn again. This is what `Wal::submit` promises:
//!
//! 1. What was offered can be taken: those behind cannot be faster.
//! 2. An offer that is not taken delays others for no more than [`OFFER_MAX`], and only those for whom
//!    there is no room beside it.
//! 3. A caller that is polled when it is woken is never overtaken by one that would take its room.
//! 4. Once the queue is closed, no one waits.
//!
//! There is no lock and no wake-up in here. Functions return the [`Wakers`] of those to be woken, for
//! the caller to wake once it has let go of its lock: a waker is foreign code, which may come back here.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::queue::cost::Cost;
use crate::wakers::Wakers;

/// The room of a queue, who has it, and who waits for it.
#[cfg_attr(test, derive(Clone))]
pub(super) struct WaitList {
    size: Cost,
    /// What those inside have taken and not given back.
    used: Cost,
    /// What is offered.
    promised: Cost,
    offered: BTreeMap<Turn, Offer>,
    waiting: BTreeMap<Turn, Waiter>,
    /// The turn of the next one who has to wait.
    next: u64,
    /// No offer ends earlier.
    first_end: Option<Instant>,
}

/// A caller's place in the order of those who wait.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Turn(u64);

impl Turn {
    /// The turn of a caller who has not waited yet: behind all who have.
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

    /// What those inside have taken.
    pub(super) fn used(&self) -> Cost {
        self.used
    }

    /// What is offered.
    #[cfg(all(test, tidewal_shuttle))]
    pub(super) fn promised(&self) -> Cost {
        self.promised
    }

    /// Whether someone waits for room that there is not.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes the room for a caller if that is offered to it, or if it is the first in turn and there is
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

    /// Lets a caller wait who could not enter, and gives it its turn. Returns the waker that this one
    /// replaces, if the caller has been waiting.
    pub(super) fn wait(&mut self, turn: &mut Turn, place: Cost, waker: Waker) -> Option<Waker> {
        if *turn == Turn::NEW {
            self.next += 1;
            *turn = Turn(self.next);
        }
        let waiter = Waiter { place, waker };
        let replaced = self.waiting.insert(*turn, waiter);
        replaced.map(|waiter| waiter.waker)
    }

    /// Forgets a caller who has gone. Returns its waker beside those to be woken.
    pub(super) fn leave(&mut self, turn: Turn, now: Instant) -> (Option<Waker>, Wakers) {
        if let Some(offer) = self.offered.remove(&turn) {
            self.promised -= offer.place;
        }
        let gone = self.waiting.remove(&turn);
        (gone.map(|waiter| waiter.waker), self.offer(now))
    }

    /// Takes room back.
    pub(super) fn give_back(&mut self, place: Cost, now: impl FnOnce() -> Instant) -> Wakers {
        self.used -= place;
        if self.waiting.is_empty() {
            return Wakers::default();
        }
        self.pass_over(now())
    }

    /// Ends offers that were not taken in time, and offers their room to those behind.
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

    /// When the next offer ends, if someone waits for that.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.first_end.filter(|_| self.is_waited_for())
    }

    /// Returns everyone who waits: there will be no more room. Those to whom some was offered know.
    pub(super) fn close(&mut self) -> Wakers {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().map(|waiter| waiter.waker).collect()
    }

    /// Offers what room there is to those whose turn it is.
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

/// How long others wait for one who was woken and does not come. Far longer than a runtime takes to poll
/// what it has woken, unless something blocks its workers.
pub(super) const OFFER_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
