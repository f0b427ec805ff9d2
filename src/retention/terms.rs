//! Holds that callers take: whether what they ask for is still there, and what happens when they keep too
//! much.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::lsn::Lsn;
use crate::retention::{Hold, HoldId, Kept, Retention, Sealed};

/// What a caller's hold has beside its place.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// What it is for.
    pub(crate) name: Arc<str>,
    /// Whether it is released when it keeps more than it may; otherwise no further segment is opened.
    pub(crate) is_released: bool,
}

impl Kept {
    /// The oldest record that no truncation under way takes; `None` if there is none.
    fn oldest_to_stay(&self) -> Option<Lsn> {
        let stays = |sealed: &&Sealed| sealed.last >= self.going;
        let sealed = self.sealed.iter().find(stays);
        let oldest = sealed.map(|sealed| sealed.header.base);
        oldest.or(self.open.map(|open| open.base))
    }

    /// The segments that are there only because of holds, and their bytes.
    pub(crate) fn held(&self) -> (u64, u64) {
        let is_truncated = |sealed: &Sealed| sealed.last < self.truncated;
        let held = &self.sealed[..self.sealed.partition_point(is_truncated)];
        let bytes = held.iter().map(|sealed| sealed.header.capacity).sum();
        (held.len() as u64, bytes)
    }

    /// The holds of callers, each with its terms.
    pub(crate) fn holds(&self) -> impl Iterator<Item = (Hold, &Terms)> {
        let holds = self.holds.iter();
        holds.filter_map(|(id, hold)| Some((*hold, self.terms.get(id)?)))
    }

    fn release_exhausted(&mut self) -> bool {
        let is_released = |id: &HoldId| self.terms.get(id).is_some_and(|terms| terms.is_released);
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
    }
}

impl Retention {
    /// Takes a hold, unless a record at or above `from` has gone or is about to go: then returns the oldest
    /// one that stays. [`Lsn::ZERO`] is that one. `end` is the last durable record.
    pub(crate) fn add_caller(
        &self,
        mut hold: Hold,
        terms: &Terms,
        end: Lsn,
    ) -> Result<(HoldId, Lsn), Lsn> {
        let id = self.next_id();
        let mut oldest = Lsn::ZERO;
        let is_added = self.kept.send_if_modified(|kept| {
            oldest = kept.oldest_to_stay().unwrap_or(end.next());
            if hold.from == Lsn::ZERO {
                hold.from = oldest;
            }
            if hold.from < oldest {
                return false;
            }
            kept.holds.insert(id, hold);
            kept.terms.insert(id, terms.clone());
            true
        });
        is_added.then_some((id, hold.from)).ok_or(oldest)
    }

    /// Releases a caller's hold. Returns whether a truncation was put off that need not be any more.
    pub(crate) fn remove_caller(&self, id: HoldId) -> bool {
        let mut is_due = false;
        self.kept.send_modify(|kept| {
            kept.forget(id);
            is_due = kept.put_off().is_some();
        });
        is_due
    }

    /// Where a hold is; `None` once it was released.
    pub(crate) fn place_of_hold(&self, id: HoldId) -> Option<Lsn> {
        self.kept.borrow().holds.get(&id).map(|hold| hold.from)
    }

    /// Waits until a hold was released, or the log has ended.
    pub(crate) async fn released(&self, id: HoldId) {
        let mut kept = self.kept.subscribe();
        let is_over = |kept: &Kept| kept.is_closing || !kept.holds.contains_key(&id);
        // There is a sender as long as there is a retention.
        let _ = kept.wait_for(is_over).await;
    }

    /// Segments, and their bytes, that are there only because of holds.
    pub(crate) fn held(&self) -> (u64, u64) {
        self.kept.borrow().held()
    }

    /// Whether the writer has to be told that it may truncate what it has put off. Once is enough.
    pub(crate) fn ask_to_truncate(&self) -> bool {
        !self.is_asked.swap(true, Ordering::AcqRel)
    }

    /// What to truncate before because a hold has moved. For the writer.
    pub(crate) fn take_put_off(&self) -> Option<Lsn> {
        self.is_asked.store(false, Ordering::Release);
        self.kept.borrow().put_off()
    }

    /// Releases the holds that keep too much and give way. Returns what to truncate before.
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
