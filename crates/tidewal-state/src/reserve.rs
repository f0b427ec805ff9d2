//! How much space is reserved for the next snapshot.
//!
//! Its length is known only once it is written, and by then the disk may be full. So the length is estimated
//! from above while commands are applied, and the reserved space follows the estimate.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutants::{Mutant, is_active};

/// The reserved space, and when to check it again.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// The least number of bytes beyond the estimate. With 0, nothing is reserved.
    least: u64,
    /// The length of the reserved file.
    held: AtomicU64,
    /// The length of the state in the newest snapshot.
    newest: AtomicU64,
    /// The estimate at which a check is due.
    check_at: AtomicU64,
}

impl Reserve {
    pub(crate) fn new(least: u64) -> Self {
        Self {
            least,
            held: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            check_at: AtomicU64::new(u64::MAX),
        }
    }

    /// Whether the space must be checked. `estimate` is the length of a snapshot of the state as it is now, at
    /// most. It is computed only if it matters.
    pub(crate) fn is_due(&self, estimate: impl FnOnce() -> u64) -> bool {
        let check_at = self.check_at.load(Ordering::Relaxed);
        check_at < u64::MAX && estimate() >= check_at
    }

    /// The length of the file that must be reserved now, or `None` if the space suffices. The next check is due
    /// when half of the margin may be used up.
    pub(crate) fn wanted(&self, estimate: u64) -> Option<u64> {
        if self.least == 0 {
            return None;
        }
        let margin = self.least.max(estimate / 4);
        let next_check = match is_active(Mutant::ReserveNotGrown) {
            true => u64::MAX,
            false => estimate.saturating_add(margin.div_ceil(2)),
        };
        self.check_at.store(next_check, Ordering::Relaxed);
        let wanted = file_len(estimate.saturating_add(margin));
        (self.held() < wanted).then_some(wanted)
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    pub(crate) fn note_newest(&self, bytes: u64) {
        self.newest.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn note_held(&self, bytes: u64) {
        self.held.store(bytes, Ordering::Relaxed);
    }
}

/// The length of the file of a snapshot of a state and sessions of this length, at most.
fn file_len(len: u64) -> u64 {
    len.saturating_add(HEADER_LEN + VERSIONS_LEN)
        .saturating_add(len / 1024)
}

/// The length of the header block of a snapshot's file.
const HEADER_LEN: u64 = 4096;

/// The length of the versions at the beginning of the contents.
const VERSIONS_LEN: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_a_quarter_or_the_least() {
        let reserve = Reserve::new(1000);
        assert_eq!(reserve.wanted(0), Some(file_len(1000)));
        assert_eq!(reserve.wanted(8000), Some(file_len(10_000)));
        reserve.note_held(file_len(10_000));
        assert_eq!(reserve.wanted(7000), None);
        assert_eq!(reserve.wanted(u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn a_check_is_due_when_half_of_the_margin_may_be_used_up() {
        let reserve = Reserve::new(1000);
        assert!(!reserve.is_due(|| u64::MAX), "nothing was reserved yet");
        reserve.wanted(0);
        assert!(!reserve.is_due(|| 499));
        assert!(reserve.is_due(|| 500));
        reserve.wanted(8500);
        assert!(!reserve.is_due(|| 9562));
        assert!(reserve.is_due(|| 9563));
    }

    #[test]
    fn nothing_is_reserved_if_that_is_turned_off() {
        let reserve = Reserve::new(0);
        assert_eq!(reserve.wanted(8000), None);
        assert!(!reserve.is_due(|| panic!("it does not matter")));
    }
}
