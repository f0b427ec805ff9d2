//! Holds that callers take: whether the requested records are still kept, and what happens when a
//! hold reaches its bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::lsn::Lsn;
use crate::retention::Retention;
use crate::retention::state::{Finished, Hold, HoldId, RetentionState, Terms};

/// Why a hold is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The record is no longer kept. `oldest` is the oldest one that remains.
    Truncated { oldest: Lsn },
    /// A lasting hold of this name has an owner.
    Taken,
}

impl RetentionState {
    /// The oldest record that no running truncation removes, or `None` if there is none.
    fn oldest_to_stay(&self) -> Option<Lsn> {
        let stays = |finished: &&Finished| finished.last >= self.going;
        let finished = self.finished.iter().find(stays);
        let oldest = finished.map(|finished| finished.header.base);
        oldest.or(self.open.map(|open| open.base))
    }

    /// The number of segments that are kept only because of holds, and their bytes.
    pub(crate) fn held(&self) -> (u64, u64) {
        let is_truncated = |finished: &Finished| finished.last < self.truncated;
        let held = &self.finished[..self.finished.partition_point(is_truncated)];
        let bytes = held.iter().map(|finished| finished.header.capacity).sum();
        (held.len() as u64, bytes)
    }

    /// The holds of callers, each with its terms.
    pub(crate) fn holds(&self) -> impl Iterator<Item = (HoldId, Hold, &Terms)> {
        let holds = self.holds.iter();
        holds.filter_map(|(id, hold)| Some((*id, *hold, self.terms.get(id)?)))
    }

    fn release_exhausted(&mut self) -> bool {
        let is_released = |id: &HoldId| {
            self.terms
                .get(id)
                .is_some_and(|terms| terms.may_be_released)
        };
        let exhausted = self.holds.iter();
        let exhausted = exhausted.filter(|(id, hold)| is_released(id) && self.is_exhausted(**hold));
        let exhausted: Vec<_> = exhausted.map(|(id, _)| *id).collect();
        for id in &exhausted {
            self.forget(*id);
        }
        !exhausted.is_empty()
    }

    fn forget(&mut self, id: HoldId) {
        self.holds.remove(&id);
        self.terms.remove(&id);
        self.ownerless.remove(&id);
    }

    /// Takes a hold. `end` is the last durable record.
    fn take(&mut self, id: HoldId, mut hold: Hold, terms: &Terms, end: Lsn) -> Result<(), Refusal> {
        match self.left_for(terms)? {
            Some(left) => {
                hold.from = hold.from.max(self.holds[&left].from);
                self.forget(left);
            }
            None => hold.from = self.first_to_keep(hold.from, end)?,
        }
        self.holds.insert(id, hold);
        self.terms.insert(id, terms.clone());
        Ok(())
    }

    /// The lasting hold of this name that has no owner.
    fn left_for(&self, terms: &Terms) -> Result<Option<HoldId>, Refusal> {
        let is_same = |other: &Terms| other.is_lasting && other.name == terms.name;
        let mut same = self.terms.iter().filter(|(_, other)| is_same(other));
        match same.next().filter(|_| terms.is_lasting) {
            Some((id, _)) if !self.ownerless.contains(id) => Err(Refusal::Taken),
            found => Ok(found.map(|(id, _)| *id)),
        }
    }

    /// The first LSN of a hold from `asked` on. [`Lsn::ZERO`] means the oldest record that remains.
    fn first_to_keep(&self, asked: Lsn, end: Lsn) -> Result<Lsn, Refusal> {
        let oldest = self.oldest_to_stay().unwrap_or(end.next());
        match asked {
            Lsn::ZERO => Ok(oldest),
            asked if asked < oldest => Err(Refusal::Truncated { oldest }),
            asked => Ok(asked),
        }
    }
}

impl Retention {
    /// Takes a hold, or takes over the lasting hold of its name that has no owner, which is never moved back.
    /// Refuses if a record at or above `from` was removed or is about to be. [`Lsn::ZERO`] means the oldest
    /// record that remains. `end` is the last durable record. Also returns whether a postponed truncation can
    /// now proceed.
    pub(crate) fn add_caller(
        &self,
        hold: Hold,
        terms: &Terms,
        end: Lsn,
    ) -> Result<(HoldId, bool), Refusal> {
        let id = self.next_id();
        let mut taken = Err(Refusal::Taken);
        self.kept.send_if_modified(|kept| {
            taken = kept.take(id, hold, terms, end);
            taken.is_ok()
        });
        taken.map(|()| (id, self.kept.borrow().put_off().is_some()))
    }

    /// Releases a caller's hold, or leaves it to the next owner if it is lasting. Returns whether a
    /// postponed truncation can now proceed.
    pub(crate) fn remove_caller(&self, id: HoldId) -> bool {
        let mut is_due = false;
        self.kept.send_modify(|kept| {
            if kept.terms.get(&id).is_some_and(|terms| terms.is_lasting) {
                kept.ownerless.insert(id);
            } else {
                kept.forget(id);
            }
            is_due = kept.put_off().is_some();
        });
        is_due
    }

    /// The first LSN that a hold keeps, or `None` once it was released.
    pub(crate) fn start_of_hold(&self, id: HoldId) -> Option<Lsn> {
        self.kept.borrow().holds.get(&id).map(|hold| hold.from)
    }

    /// Waits until a hold was released, or the log has ended.
    pub(crate) async fn released(&self, id: HoldId) {
        let mut kept = self.kept.subscribe();
        let is_over = |kept: &RetentionState| kept.is_closing || !kept.holds.contains_key(&id);
        // The sender lives as long as the retention.
        let _ = kept.wait_for(is_over).await;
    }

    /// The number of segments that are kept only because of holds, and their bytes.
    pub(crate) fn held(&self) -> (u64, u64) {
        self.kept.borrow().held()
    }

    /// Whether the writer must be asked for the postponed truncation. One request is enough.
    pub(crate) fn ask_to_truncate(&self) -> bool {
        !self.is_asked.swap(true, Ordering::AcqRel)
    }

    /// Takes the LSN to truncate before because a hold has moved. Called by the writer.
    pub(crate) fn take_put_off(&self) -> Option<Lsn> {
        self.is_asked.store(false, Ordering::Release);
        self.kept.borrow().put_off()
    }

    /// Releases the holds that exceed their bounds and may be released. Returns the LSN to truncate
    /// before.
    pub(crate) fn release_exhausted(&self) -> Option<Lsn> {
        let mut put_off = None;
        self.kept.send_if_modified(|kept| {
            let has_released = kept.release_exhausted();
            put_off = has_released.then(|| kept.put_off()).flatten();
            has_released
        });
        put_off
    }
}

/// The functions for holds.
///
/// A hold that is moved or released may have postponed a truncation. If so, these functions return
/// the LSN to truncate before. Moving the hold and checking are one atomic step: a truncation comes
/// either before it and is seen, or after it and is not postponed.
impl Retention {
    /// Adds a hold at `from`. A truncation that has already begun may still remove segments. A
    /// caller that must know sends the writer a request afterwards, which is served after that
    /// truncation.
    pub(crate) fn add_hold(&self, hold: Hold) -> HoldId {
        let id = self.next_id();
        self.kept.send_modify(|kept| {
            kept.holds.insert(id, hold);
        });
        id
    }

    fn next_id(&self) -> HoldId {
        HoldId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Moves a hold to `from`. A hold never moves back.
    pub(crate) fn move_hold(&self, id: HoldId, from: Lsn) -> Option<Lsn> {
        self.change_holds(|holds| {
            if let Some(hold) = holds.get_mut(&id) {
                hold.from = hold.from.max(from);
            }
        })
    }

    pub(crate) fn remove_hold(&self, id: HoldId) -> Option<Lsn> {
        self.change_holds(|holds| {
            holds.remove(&id);
        })
    }

    fn change_holds(&self, change: impl FnOnce(&mut BTreeMap<HoldId, Hold>)) -> Option<Lsn> {
        let mut put_off = None;
        self.kept.send_if_modified(|kept| {
            let before = kept.holds.clone();
            change(&mut kept.holds);
            put_off = kept.put_off();
            kept.holds != before
        });
        put_off
    }

    /// The name of a hold that exceeds its bound, so no further segment may be opened.
    pub(crate) fn exhausted_hold(&self) -> Option<Arc<str>> {
        let kept = self.kept.borrow();
        let mut exhausted = kept.holds().filter(|(_, hold, _)| kept.is_exhausted(*hold));
        exhausted
            .next()
            .map(|(_, _, terms)| Arc::clone(&terms.name))
    }
}
