//! Followers and holds beside a workload: each gets every durable record once and in order, never one that
//! a crash can still take, and what is held is never truncated.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidewal::{Error, Follower, Hold, Lsn, Record, Wal};

use crate::harness::rng::Rng;

/// What the followers of one life got.
#[derive(Clone, Default)]
pub struct Followed(Arc<Mutex<Seen>>);

#[derive(Default)]
pub struct Seen {
    pub records: Vec<Record>,
    /// How followers failed: whether they had a hold, and why.
    pub failures: Vec<(bool, Error)>,
    /// What must never be.
    pub broken: Vec<String>,
}

impl Followed {
    /// Starts followers of a log that was just opened: one at its end, one from its beginning, one that
    /// is slow and holds what it has not read.
    pub fn start(&self, wal: &Wal, rng: &mut Rng) {
        self.spawn(wal.follow(wal.durable_lsn().next()), None, Duration::ZERO);
        let pace = Duration::from_micros(rng.roll(3) * 100);
        self.spawn(wal.follow(Lsn::ZERO), None, pace);
        if rng.once_in(2) {
            let hold = wal.hold(Lsn::ZERO).expect("the oldest record is there");
            let pace = Duration::from_micros(rng.roll(3) * 300);
            self.spawn(
                wal.follow(hold.lsn().unwrap_or(Lsn::ZERO)),
                Some(hold),
                pace,
            );
        }
    }

    /// What was seen since it was taken before.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn spawn(&self, follower: Follower, hold: Option<Hold>, pace: Duration) {
        tokio::spawn(self.clone().run(follower, hold, pace));
    }

    async fn run(self, mut follower: Follower, hold: Option<Hold>, pace: Duration) {
        loop {
            let expected = follower.next_lsn();
            match follower.try_next().await {
                Ok(None) => return,
                Ok(Some(record)) => {
                    self.note(expected, &record);
                    if let Some(hold) = &hold {
                        let advanced = hold.advance(record.lsn.next());
                        advanced.expect("a hold without a bound stays");
                    }
                }
                Err(error) => {
                    return self.with(|seen| seen.failures.push((hold.is_some(), error)));
                }
            }
            if !pace.is_zero() {
                tokio::time::sleep(pace).await;
            }
        }
    }

    fn note(&self, expected: Lsn, record: &Record) {
        self.with(|seen| {
            if expected != Lsn::ZERO && record.lsn != expected {
                let lsn = record.lsn;
                let gap = format!("a follower got {lsn} in place of {expected}");
                seen.broken.push(gap);
            }
            seen.records.push(record.clone());
        });
    }

    fn with(&self, work: impl FnOnce(&mut Seen)) {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
