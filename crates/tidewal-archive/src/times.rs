//! Which records were durable at which time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewal::{DurableLsns, Lsn};

use crate::manifest::TimePoint;
use crate::options::Clock;

/// The points that are not in the archive yet. Clones share them.
#[derive(Clone)]
pub(super) struct Times(Arc<Mutex<Points>>);

struct Points {
    clock: Clock,
    /// In the order of their LSNs and times.
    noted: Vec<TimePoint>,
    /// The latest time so far. No later point gets an earlier time.
    latest: u64,
}

impl Times {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(Points {
            clock,
            noted: Vec::new(),
            latest: 0,
        })))
    }

    /// Sets the latest time so far.
    pub(super) fn go_on_from(&self, latest: u64) {
        let mut points = self.points();
        points.latest = points.latest.max(latest);
        let latest = points.latest;
        for point in &mut points.noted {
            point.time = point.time.max(latest);
        }
    }

    /// Notes that everything up to `lsn` is durable now.
    pub(super) fn note(&self, lsn: Lsn) {
        let mut points = self.points();
        let time = points.now();
        if points.noted.last().is_none_or(|last| last.lsn < lsn) && lsn > Lsn::ZERO {
            points.noted.push(TimePoint { lsn, time });
            points.thin_out();
        }
    }

    /// The points of a segment. The last one is for its last record. They stay here until the segment is in the
    /// archive.
    pub(super) fn of_segment(&self, base: Lsn, last: Lsn) -> Vec<TimePoint> {
        let mut points = self.points();
        let now = points.now();
        let inside = |point: &&TimePoint| (base..=last).contains(&point.lsn);
        let mut found: Vec<_> = points.noted.iter().filter(inside).copied().collect();
        if found.last().is_none_or(|point| point.lsn < last) {
            let later = points.noted.iter().find(|point| point.lsn > last);
            let time = later.map_or(now, |point| point.time);
            found.push(TimePoint { lsn: last, time });
        }
        found
    }

    /// Forgets the points up to `last`.
    pub(super) fn forget(&self, last: Lsn) {
        self.points().noted.retain(|point| point.lsn > last);
    }

    fn points(&self) -> MutexGuard<'_, Points> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Points {
    fn now(&mut self) -> u64 {
        self.latest = self.latest.max(millis((self.clock)()));
        self.latest
    }

    /// If there are too many points, drops every second one, but not the newest.
    fn thin_out(&mut self) {
        if self.noted.len() <= POINTS_MAX {
            return;
        }
        let mut is_kept = self.noted.len().is_multiple_of(2);
        self.noted.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
    }
}

/// Notes the durable LSN whenever it has moved, at most once per `step`. Returns when the log has ended.
pub(super) async fn record(times: Times, mut lsns: DurableLsns, step: Duration) {
    while let Some(durable) = lsns.next().await {
        times.note(durable);
        tokio::time::sleep(step).await;
    }
}

/// Milliseconds since 1970, or 0 for an earlier time.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time that is this many milliseconds after the beginning of 1970.
pub(super) fn system_time(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

const POINTS_MAX: usize = 4096;
