//! Followers and holds beside a workload: each follower gets every durable record once and in
//! order, and never one that a crash could still lose. Held records are never truncated.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidewal::{DurableLsns, Error, Follower, Hold, Lsn, Record, Wal};

use crate::harness::rng::Rng;

/// The records that the followers of one life got.
#[derive(Clone, Default)]
pub struct Followed(Arc<Mutex<Seen>>);

/// The pace of the followers that do not read from the end of the log.
pub enum Paces {
    Random(Rng),
    /// They get one record immediately, and the rest in the next pause of the workload ([`PAUSE`]).
    Behind,
}

/// A pause of the workload in which followers with [`Paces::Behind`] read everything.
pub const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Seen {
    pub records: Vec<Record>,
    /// The errors of followers, and whether they had a hold.
    pub failures: Vec<(bool, Error)>,
    /// Violations of the promises.
    pub broken: Vec<String>,
}

impl Followed {
    /// Starts followers of a newly opened log: one at its end, one from its beginning, and a slow
    /// one with a hold.
    pub fn start(&self, wal: &Wal, paces: &mut Paces) {
        self.spawn(wal, wal.durable_lsn().next(), None, Duration::ZERO);
        let (pace, holder) = paces.next();
        self.spawn(wal, Lsn::ZERO, None, pace);
        if let Some(pace) = holder {
            let hold = wal.hold(Lsn::ZERO).expect("the oldest record is there");
            self.spawn(wal, hold.lsn().unwrap_or(Lsn::ZERO), Some(hold), pace);
        }
    }

    /// Takes everything that was seen since the last call.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn spawn(&self, wal: &Wal, from: Lsn, hold: Option<Hold>, pace: Duration) {
        let (follower, durable) = (wal.follow(from), wal.subscribe_durable());
        tokio::spawn(self.clone().run(follower, durable, hold, pace));
    }

    async fn run(
        self,
        mut follower: Follower,
        mut durable: DurableLsns,
        hold: Option<Hold>,
        pace: Duration,
    ) {
        loop {
            let expected = follower.next_lsn();
            match follower.try_next().await {
                Ok(None) => return self.note_end(follower.next_lsn(), durable.next().await),
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

    fn note_end(&self, next: Lsn, durable: Option<Lsn>) {
        let durable = durable.expect("the first value is there whatever has happened");
        if next != durable.next() {
            let early = format!("a follower ended before {next}, and {durable} is durable");
            self.with(|seen| seen.broken.push(early));
        }
    }

    fn with(&self, work: impl FnOnce(&mut Seen)) {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Paces {
    /// The pause between records of the follower from the beginning, and of the follower with a hold, if
    /// there is one.
    fn next(&mut self) -> (Duration, Option<Duration>) {
        let Self::Random(rng) = self else {
            return (SLOW, Some(SLOW));
        };
        let pace = Duration::from_micros(rng.roll(3) * 100);
        let is_held = rng.once_in(2);
        (
            pace,
            is_held.then(|| Duration::from_micros(rng.roll(3) * 300)),
        )
    }
}

/// Longer than a workload without a pause takes, and a small part of [`PAUSE`].
const SLOW: Duration = Duration::from_millis(2);
