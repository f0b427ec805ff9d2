//! The warnings about slow syncs.

use std::time::{Duration, Instant};

use crate::observe;
use crate::options::WalOptions;
use crate::storage::Dir;

/// Warns while a sync is slow, and again when it has completed.
#[derive(Clone)]
pub(super) struct Slow {
    dir: Dir,
    after: Duration,
    /// The start of the current work, and its age at the next warning.
    current: Option<(Instant, Duration)>,
}

impl Slow {
    pub(super) fn new(dir: &Dir, options: &WalOptions) -> Self {
        Self {
            dir: dir.clone(),
            after: options.slow_sync_after,
            current: None,
        }
    }

    /// Warns if the current work has become too old, and again each time its age has doubled, so a
    /// disk that never answers does not fill another disk with warnings. Returns when to look
    /// again.
    pub(super) fn look(&mut self, since: Option<Instant>, now: Instant) -> Instant {
        let Some(since) = since else {
            return now + self.after;
        };
        let (_, mut limit) = self
            .current
            .filter(|(start, _)| *start == since)
            .unwrap_or((since, self.after));
        let age = now.saturating_duration_since(since);
        if age >= limit {
            observe::sync_is_slow(self.dir.path(), age);
            limit = age * 2;
        }
        self.current = Some((since, limit));
        since + limit
    }

    pub(super) fn ended(&self, took: Duration) {
        if took >= self.after {
            observe::sync_was_slow(self.dir.path(), took);
        }
    }
}
