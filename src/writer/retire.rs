//! What becomes of truncated segments: they are recycled or removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::IoFailure;
use crate::format::names;
use crate::mutants::{Mutant, skip_next_sync};
use crate::retention::Retention;
use crate::storage::{Mode, Synced};
use crate::writer::spare_factory::{Spare, SpareFactory};
use crate::writer::zero_fill::ZeroFill;

/// A file that is no longer part of the log.
pub(super) struct Retired {
    pub(super) name: String,
    /// Where its records end: up to there it was written and synced.
    pub(super) end: u64,
}

/// Truncated segments that were not used again or removed yet.
pub(super) struct Recycler {
    retention: Arc<Retention>,
    /// Files that already have a spare's name, and become ready when there is a free slot.
    stock: Vec<Retired>,
    /// Segments that could not be removed, oldest first.
    leftovers: Vec<Retired>,
    owes_removals: Arc<AtomicBool>,
}

impl Recycler {
    /// `owes_removals` says from now on whether there are segments that could not be removed.
    pub(super) fn new(retention: Arc<Retention>, owes_removals: Arc<AtomicBool>) -> Self {
        Self {
            retention,
            stock: Vec::new(),
            leftovers: Vec::new(),
            owes_removals,
        }
    }

    /// The number of recycled files.
    pub(super) fn stocked(&self) -> usize {
        self.stock.len()
    }

    /// Recycles up to `room` segments, removes the others, and makes that durable.
    ///
    /// A recycled file is used only once the removal of its old name is durable: otherwise a crash
    /// could bring the old name back, on a file that has become another segment. If a file cannot
    /// be removed, the others are still removed. It is reported, and the next truncation tries
    /// again. Any order is safe, because all of these files are below the head mark.
    pub(super) fn retire(
        &mut self,
        factory: &SpareFactory,
        room: usize,
        segments: Vec<Retired>,
    ) -> Result<Synced, IoFailure> {
        let mut recycled = Vec::new();
        let mut failed = None;
        let leftovers = std::mem::take(&mut self.leftovers);
        for segment in leftovers.into_iter().chain(segments) {
            match self.retire_one(factory, &segment, recycled.len() < room) {
                Ok(spare) => recycled.extend(spare),
                Err(fault) => {
                    self.leftovers.push(segment);
                    failed.get_or_insert(fault);
                }
            }
        }
        self.owes_removals
            .store(!self.leftovers.is_empty(), Ordering::Relaxed);
        skip_next_sync(Mutant::RecycleUnsynced);
        let synced = factory.dir.sync_removals().inspect_err(|_| {
            let names = recycled.iter().map(|spare| &spare.name);
            names.for_each(|name| factory.discard(name));
        })?;
        self.stock.append(&mut recycled);
        failed.map_or(Ok(synced), Err)
    }

    /// Recycles a segment and returns its new name, if another spare is wanted. Otherwise removes
    /// it.
    fn retire_one(
        &self,
        factory: &SpareFactory,
        segment: &Retired,
        is_wanted: bool,
    ) -> Result<Option<Retired>, IoFailure> {
        let Retired { name: old, end } = segment;
        if is_wanted && self.is_reusable(factory, old) {
            let renamed = factory.name_freely(|name| factory.dir.rename(old, name));
            if let Ok((name, ())) = renamed {
                return Ok(Some(Retired { name, end: *end }));
            }
        }
        match factory.dir.remove(old) {
            Err(fault) if !fault.is_not_found() => Err(fault),
            _ => Ok(None),
        }
    }

    /// A file with another name is shared, for example with a backup. A file that a follower is
    /// reading must not change.
    fn is_reusable(&self, factory: &SpareFactory, name: &str) -> bool {
        if names::parse_segment(name).is_some_and(|base| self.retention.is_pinned(base)) {
            return false;
        }
        let opened = factory.dir.open(name, Mode::Read);
        let looked = opened.and_then(|file| Ok(file.is_exclusive()? && file.len()? == factory.len));
        looked.is_ok_and(|is_reusable| is_reusable)
    }

    /// A recycled file that is ready for use. Files that cannot be used are removed.
    pub(super) fn take(&mut self, factory: &SpareFactory) -> Option<Spare> {
        while let Some(Retired { name, end }) = self.stock.pop() {
            let opened = factory.dir.open(&name, Mode::Write);
            let opened = opened.map(|file| file.written_before(end));
            match opened.and_then(|file| file.allocate(factory.len)) {
                Ok(file) if file.is_exclusive().is_ok_and(|is| is) => {
                    let ahead = ZeroFill::DONE;
                    return Some(Spare { name, file, ahead });
                }
                _ => factory.discard(&name),
            }
        }
        None
    }

    /// Removes the recycled files.
    pub(super) fn discard(&mut self, factory: &SpareFactory) {
        for segment in self.stock.drain(..) {
            factory.discard(&segment.name);
        }
    }
}
