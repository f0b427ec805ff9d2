//! How far a log has grown, and how many bytes were appended after an LSN.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidewal::Lsn;
use tokio::sync::Notify;

pub(crate) struct Growth {
    appended: AtomicU64,
    /// LSNs, oldest first, each with the bytes that were appended before it.
    samples: Mutex<VecDeque<(Lsn, u64)>>,
    /// The number of bytes between two samples.
    step: u64,
    /// Notified at each sample.
    pub(crate) grown: Notify,
}

impl Growth {
    /// Measures distances of at least `distance` bytes precisely enough.
    pub(crate) fn new(distance: u64) -> Self {
        Self {
            appended: AtomicU64::new(0),
            samples: Mutex::default(),
            step: (distance / 16).clamp(1024, 1024 * 1024),
            grown: Notify::new(),
        }
    }

    /// Records that `bytes` bytes were appended, none of them before `lsn`.
    pub(crate) fn note(&self, lsn: Lsn, bytes: u64) {
        let before = self.appended.fetch_add(bytes, Relaxed);
        if before / self.step != (before + bytes) / self.step {
            self.samples().push_back((lsn, before));
            self.grown.notify_one();
        }
    }

    /// The LSN before which everything is more than `distance` bytes from the end.
    pub(crate) fn limit(&self, distance: u64) -> Option<Lsn> {
        let appended = self.appended.load(Relaxed);
        let samples = self.samples();
        let far = samples
            .iter()
            .take_while(|(_, before)| before + distance < appended);
        far.last().map(|(lsn, _)| *lsn)
    }

    /// Drops the samples before `lsn`, except for one.
    pub(crate) fn forget(&self, lsn: Lsn) {
        let mut samples = self.samples();
        while samples.get(1).is_some_and(|(second, _)| *second <= lsn) {
            samples.pop_front();
        }
    }

    fn samples(&self) -> MutexGuard<'_, VecDeque<(Lsn, u64)>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_to_within_a_step() {
        let growth = Growth::new(64 * 1024);
        for lsn in 1..=1000 {
            growth.note(Lsn::new(lsn), 1000);
        }
        assert_eq!(growth.limit(1_000_000), None);
        for distance in [64 * 1024, 500_000] {
            let exact = (1_000_000 - distance) / 1000;
            let limit = growth.limit(distance).unwrap().get();
            assert!((exact - 6..=exact + 1).contains(&limit), "{limit}, {exact}");
        }
        growth.forget(Lsn::new(900));
        assert!(growth.limit(64 * 1024).unwrap() > Lsn::new(900));
        assert!(growth.samples().len() < 30);
    }
}
