//! Finds the newest entry of a manifest without listing all of it.
//!
//! A store lists about 1,000 names per request, and can begin after any name. So the number of requests grows with
//! the logarithm of the number of entries. Nothing is assumed about the entries between the oldest and the newest
//! one: some may be missing.

/// Entries with numbers above some number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Listed {
    /// The largest number that was seen, or 0 if there is none.
    pub(super) newest: u64,
    /// Whether all of them were seen.
    pub(super) is_complete: bool,
}

/// How many names of a listing are read before the search skips the rest.
pub(super) const LISTED_MAX: u64 = 1000;

/// What is known about the number of the newest entry.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The newest entry that was seen, or 0.
    found: u64,
    /// No entry had a higher number when it was looked for.
    bound: Option<u64>,
    /// How far to skip while there is no bound.
    step: u64,
}

impl Search {
    /// The number above which to list entries next.
    pub(super) fn next(&self) -> u64 {
        match self.bound {
            None => self.found.saturating_add(self.step),
            Some(bound) if bound.saturating_sub(self.found) <= LISTED_MAX => self.found,
            Some(bound) => self.found + (bound - self.found) / 2,
        }
    }

    /// Takes what was listed above `after`: all, or at least one of the entries that exist there. Returns the number
    /// of the newest entry once that is certain, or 0 if there is no entry.
    pub(super) fn take(&mut self, after: u64, listed: Listed) -> Option<u64> {
        self.found = self.found.max(listed.newest);
        let is_over = if listed.newest == 0 {
            self.bound = Some(after);
            after == self.found
        } else {
            self.step = self.step.saturating_mul(2).max(LISTED_MAX);
            listed.is_complete
        };
        is_over.then_some(self.found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Searches with a store that lists up to 1,000 of these entries. Returns the newest one and the number of
    /// listings.
    fn search_with(mut list: impl FnMut(u64) -> Listed) -> (u64, u64) {
        let (mut search, mut listings) = (Search::default(), 0);
        loop {
            let after = search.next();
            listings += 1;
            if let Some(newest) = search.take(after, list(after)) {
                return (newest, listings);
            }
        }
    }

    fn search(entries: &BTreeSet<u64>) -> (u64, u64) {
        search_with(|after| {
            let behind = after.checked_add(1).map(|from| entries.range(from..));
            let page: Vec<_> = behind.into_iter().flatten().take(1000).collect();
            Listed {
                newest: page.last().map_or(0, |number| **number),
                is_complete: page.len() < 1000,
            }
        })
    }

    /// What `docs/archive.md` says of this many entries.
    fn bound(entries: u64) -> u64 {
        3 + 2 * u64::from((entries / 1000 + 1).ilog2() + 1)
    }

    #[test]
    fn the_newest_entry_is_found_with_few_listings() {
        for count in (0..5000).chain([20_000, 99_999, 100_000, 1_000_000]) {
            let (found, listings) = search(&(1..=count).collect());
            assert_eq!(found, count);
            assert!(
                listings <= bound(count),
                "{count} entries: {listings} listings"
            );
        }
        assert_eq!(search(&(1..=999).collect()), (999, 1));
    }

    #[test]
    fn the_oldest_entries_may_have_expired() {
        for first in [2, 1000, 1001, 123_456] {
            let (found, listings) = search(&(first..first + 5000).collect());
            assert_eq!(found, first + 4999);
            assert!(listings <= bound(5000), "from {first}: {listings} listings");
        }
    }

    /// A hole is damage, which the reader of the manifest names. The search does not end before it.
    #[test]
    fn holes_do_not_end_the_search() {
        let holes = [1..=4999, 900..=1100, 1001..=2001, 2000..=6000, 5000..=9998];
        for hole in holes {
            let entries = (1..10_000).filter(|number| !hole.contains(number));
            assert_eq!(search(&entries.collect()).0, 9999, "{hole:?}");
        }
    }

    #[test]
    fn the_largest_number_is_found() {
        for forged in [u64::MAX, u64::MAX - 1, 1 << 60] {
            let (found, listings) = search(&(1..=3000).chain([forged]).collect());
            assert_eq!(found, forged);
            assert!(listings < 150, "{listings}");
        }
    }

    /// An archiver creates entries while another one searches.
    #[test]
    fn entries_that_appear_in_the_meantime_do_no_harm() {
        let mut count = 1000;
        let (found, _) = search_with(|after| {
            count += 400;
            Listed {
                newest: if count > after {
                    count.min(after + 1000)
                } else {
                    0
                },
                is_complete: count < after.saturating_add(1000),
            }
        });
        assert!((1000..=count).contains(&found), "{found} of {count}");
    }
}
