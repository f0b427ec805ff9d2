//! Pages of a file that the medium cannot read.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use crate::error::UNREADABLE;

/// The bad pages of one file, by their numbers.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct BadPages {
    bad: BTreeSet<usize>,
    /// The pages that the system still has in its cache.
    cached: BTreeSet<usize>,
}

impl BadPages {
    /// Marks the page that holds a byte as bad.
    pub(super) fn plant(&mut self, offset: usize, is_cached: bool) {
        let page = offset / PAGE;
        self.bad.insert(page);
        if is_cached {
            self.cached.insert(page);
        } else {
            self.cached.remove(&page);
        }
    }

    /// Whether no page is bad.
    pub(super) fn are_sound(&self) -> bool {
        self.bad.is_empty()
    }

    /// How many bytes of a range can be read: up to the first bad page.
    pub(super) fn read(&self, range: Range<usize>) -> io::Result<usize> {
        Self::up_to(self.first_unreadable(&range), range)
    }

    /// How many bytes of a range can be written. To write a part of a page, the cache must read the
    /// rest. Written pages are cached.
    pub(super) fn write(&mut self, range: Range<usize>, len: usize) -> io::Result<usize> {
        let in_part = [range.start / PAGE, range.end.saturating_sub(1) / PAGE];
        let refused = in_part
            .into_iter()
            .filter(|page| !is_whole(*page, &range, len))
            .find(|page| self.is_unreadable(*page));
        let count = Self::up_to(refused, range.clone())?;
        self.note_cached(&(range.start..range.start + count));
        Ok(count)
    }

    /// Adds the pages of a range to the cache.
    pub(super) fn note_cached(&mut self, range: &Range<usize>) {
        self.cached.extend(self.bad.range(pages(range)).copied());
    }

    /// The system writes each cached page of a range as a whole, which heals it.
    pub(super) fn heal_touched(&mut self, range: &Range<usize>) {
        self.heal(pages(range));
    }

    /// Heals the pages that a range fills when it reaches the disk.
    pub(super) fn heal_filled(&mut self, range: &Range<usize>, len: usize) {
        let filled: Vec<_> = pages(range)
            .filter(|page| is_whole(*page, range, len))
            .collect();
        filled
            .into_iter()
            .for_each(|page| self.heal(page..page + 1));
    }

    /// Drops the pages of a range from the cache.
    #[cfg(tidewal_mutants)]
    pub(super) fn evict(&mut self, range: &Range<usize>) {
        let pages = pages(range);
        self.cached.retain(|page| !pages.contains(page));
    }

    /// Drops every page from the cache.
    pub(super) fn lose_cache(&mut self) {
        self.cached.clear();
    }

    fn heal(&mut self, pages: Range<usize>) {
        self.bad.retain(|page| !pages.contains(page));
        self.cached.retain(|page| !pages.contains(page));
    }

    fn is_unreadable(&self, page: usize) -> bool {
        self.bad.contains(&page) && !self.cached.contains(&page)
    }

    fn first_unreadable(&self, range: &Range<usize>) -> Option<usize> {
        let mut bad = self.bad.range(pages(range));
        bad.find(|page| !self.cached.contains(page)).copied()
    }

    /// The length of a range up to a page, or an error if the range begins in that page.
    fn up_to(page: Option<usize>, range: Range<usize>) -> io::Result<usize> {
        if range.is_empty() {
            return Ok(0);
        }
        let end = page.map_or(range.end, |page| page * PAGE);
        match end.checked_sub(range.start) {
            Some(count) if count > 0 => Ok(count),
            _ => Err(io::Error::from_raw_os_error(UNREADABLE[0])),
        }
    }
}

/// The pages that a range touches.
fn pages(range: &Range<usize>) -> Range<usize> {
    range.start / PAGE..range.end.div_ceil(PAGE)
}

/// Whether a range covers all of a page, up to the end of the file.
fn is_whole(page: usize, range: &Range<usize>, len: usize) -> bool {
    range.start <= page * PAGE && range.end >= ((page + 1) * PAGE).min(len)
}

/// The unit in which the system's cache reads and writes.
const PAGE: usize = 4096;
