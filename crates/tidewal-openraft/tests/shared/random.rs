//! Random calls, many in flight, with kills, power cuts and full disks at random moments. After
//! each crash the state is that after a prefix of the calls that includes every acknowledged one.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;

use futures::FutureExt;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Lsn};

use crate::api::openraft_traits::RaftLogStorage;
use crate::api::{Calls, RaftLog, StoreError, Vote, callback, log_id, open, text};
use crate::model::{Model, Past, entry};
use crate::rng::Rng;
use crate::support::{DIR, options, run};

#[test]
fn random_calls_and_deaths() {
    let seeds = std::env::var("TIDEWAL_SEEDS").map_or(600, |seeds| seeds.parse().unwrap());
    let mut seen = Seen::default();
    for seed in 0..seeds {
        Story::new(seed).live_and_die(&mut seen);
    }
    println!("{seeds} seeds: {seen:?}");
    assert!(seen.cuts > seeds / 2 && seen.kills > seeds / 4 && seen.full > seeds / 10);
    assert!(seen.truncated > seeds / 10);
    assert_eq!(
        seen.voids, 0,
        "something was recorded behind a refused record"
    );
}

/// Seed 22,870 of a long run: the process was killed before it had created the log's directory, and
/// its records could not be read.
#[test]
fn regression_a_process_that_is_killed_at_once_has_promised_nothing() {
    let mut seen = Seen::default();
    let mut story = Story::new(22_870);
    run(story.one_life(End::Kill(Duration::ZERO), &mut seen));
    assert!(story.disk.files(DIR).is_empty());
    run(story.look(&mut seen));
    Story::new(22_870).live_and_die(&mut seen);
}

/// Counts of events in all runs.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    cuts: u64,
    kills: u64,
    /// Lives that a full disk ended.
    full: u64,
    /// Logs with void records.
    voids: u64,
    /// Logs that were truncated.
    truncated: u64,
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Peaceful,
    Cut(u64),
    Kill(Duration),
}

struct Story {
    seed: u64,
    disk: SimDisk,
    rng: Rng,
    past: Past,
    in_flight: Vec<(usize, Flushed)>,
}

type Flushed = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

impl Story {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        Self {
            seed,
            disk,
            rng: Rng::new(seed),
            past: Past::default(),
            in_flight: Vec::new(),
        }
    }

    fn live_and_die(mut self, seen: &mut Seen) {
        let _label = Label(self.seed);
        for _ in 0..5 {
            self.disk
                .set_sync_time(Duration::from_micros(self.rng.roll(3) * 100));
            let end = self.random_end();
            if let End::Cut(after) = end {
                self.disk.cut_power_at(self.disk.operations() + after);
            }
            run(self.one_life(end, seen));
            self.in_flight.clear();
            seen.kills += u64::from(matches!(end, End::Kill(_)));
            seen.cuts += u64::from(self.disk.is_off());
            if self.disk.is_off() || self.rng.once_in(3) {
                self.disk.restart(Survival::Random);
            }
            self.disk.set_quota(None);
            run(self.look(seen));
        }
    }

    fn random_end(&mut self) -> End {
        match self.rng.roll(5) {
            0 => End::Peaceful,
            1 | 2 => End::Kill(Duration::from_micros(self.rng.roll(8000))),
            _ => End::Cut(self.rng.roll(90)),
        }
    }

    async fn one_life(&mut self, end: End, seen: &mut Seen) {
        let limit = match end {
            End::Kill(after) => after,
            End::Peaceful | End::Cut(_) => Duration::from_secs(60),
        };
        let _ = tokio::time::timeout(limit, self.work(seen)).await;
    }

    async fn work(&mut self, seen: &mut Seen) {
        let Some(mut log) = self.open().await else {
            return;
        };
        if self.rng.once_in(3) {
            let room = self.used() + self.rng.roll(40_000);
            self.disk.set_quota(Some(room));
        }
        for _ in 0..self.rng.count(60) {
            seen.calls += 1;
            let outcome = self.call(&mut log).await;
            let outcome = outcome.and(self.settle(false).await);
            if let Err(error) = outcome {
                let is_full = text(&error).contains("the disk is full");
                assert!(is_full || self.disk.is_off(), "{error}");
                assert!(log.save_vote(&Vote::new(99, 1)).await.is_err());
                seen.full += u64::from(is_full);
                return;
            }
            assert_eq!(Model::of(&mut log).await, self.past.now());
        }
    }

    async fn open(&mut self) -> Option<RaftLog> {
        // Small batches, so one can be refused and the next one appended.
        let options = options()
            .spare_segments(self.rng.count(2) - 1)
            .max_batch_records(self.rng.count(6));
        match open(options, &self.disk).await {
            Ok(mut log) => {
                self.past.recovered(Model::of(&mut log).await);
                Some(log)
            }
            Err(error) => {
                assert!(self.disk.is_off(), "{error}");
                None
            }
        }
    }

    fn used(&self) -> u64 {
        let files = self.disk.files(DIR).into_iter();
        files
            .filter_map(|name| self.disk.read(format!("{DIR}/{name}")))
            .map(|bytes| bytes.len() as u64)
            .sum()
    }

    /// Makes one call.
    async fn call(&mut self, log: &mut RaftLog) -> Result<(), StoreError> {
        match self.rng.roll(16) {
            0 => self.vote(log).await,
            1 | 2 => self.commit(log).await,
            3 => self.truncate(log).await,
            4 | 5 => self.purge(log).await,
            6 => self.settle(true).await,
            7 => {
                self.cancelled_vote(log).await;
                Ok(())
            }
            _ => self.append(log).await,
        }
    }

    async fn vote(&mut self, log: &mut RaftLog) -> Result<(), StoreError> {
        let vote = Vote::new(self.rng.roll(50), 1);
        let call = self.past.ask(Model {
            vote: Some(vote),
            ..self.past.now()
        });
        log.save_vote(&vote).await?;
        self.past.acknowledge(call);
        Ok(())
    }

    /// A vote whose future is dropped: it is saved or not, but never in part.
    async fn cancelled_vote(&mut self, log: &mut RaftLog) {
        let vote = Vote::new(self.rng.roll(50), 2);
        let _ = log.save_vote(&vote).now_or_never();
        let now = Model::of(log).await;
        let expected = Model {
            vote: now.vote,
            ..self.past.now()
        };
        assert_eq!(now, expected);
        self.past.ask(now);
    }

    async fn commit(&mut self, log: &mut RaftLog) -> Result<(), StoreError> {
        let committed = self.past.now().last();
        self.past.ask(Model {
            committed,
            ..self.past.now()
        });
        log.save_committed(committed).await
    }

    async fn append(&mut self, log: &mut RaftLog) -> Result<(), StoreError> {
        let mut state = self.past.now();
        let next = state.next_index();
        let term = self.rng.roll(50);
        let entries: Vec<_> = (0..self.rng.roll(4))
            .map(|place| {
                let fill = u8::try_from(place).unwrap();
                entry(term, next + place, vec![fill; self.rng.len() / 2])
            })
            .collect();
        // An empty append promises nothing, which is the state at the beginning.
        let mut call = 0;
        for entry in &entries {
            state.append(entry);
            call = self.past.ask(state.clone());
        }
        let (callback, flushed) = callback();
        self.in_flight.push((call, Box::pin(flushed)));
        log.append(entries, callback).await
    }

    async fn truncate(&mut self, log: &mut RaftLog) -> Result<(), StoreError> {
        let mut state = self.past.now();
        let back = self.rng.roll(4);
        let Some(last) = state.last() else {
            return Ok(());
        };
        let since = last.index.saturating_sub(back);
        state.truncate(since);
        let call = self.past.ask(state);
        log.truncate_since(since).await?;
        self.past.acknowledge(call);
        Ok(())
    }

    /// Usually purges up to an entry, sometimes beyond the last one, as when a snapshot is
    /// installed.
    async fn purge(&mut self, log: &mut RaftLog) -> Result<(), StoreError> {
        let mut state = self.past.now();
        let nth = self.rng.count(state.entries.len() as u64 + 1) - 1;
        let upto = match state.entries.iter().nth(nth) {
            _ if self.rng.once_in(6) => log_id(60, state.next_index() + self.rng.roll(5)),
            Some((index, (term, ..))) => log_id(*term, *index),
            None => return Ok(()),
        };
        state.purge(upto);
        let call = self.past.ask(state);
        log.purge(upto).await?;
        self.past.acknowledge(call);
        Ok(())
    }

    /// Checks, or waits for, the callbacks of appends, which come in order.
    async fn settle(&mut self, wait: bool) -> Result<(), StoreError> {
        while let Some((call, flushed)) = self.in_flight.first_mut() {
            let outcome = match wait {
                true => Some(flushed.await),
                false => flushed.now_or_never(),
            };
            let Some(outcome) = outcome else {
                for (_, later) in &mut self.in_flight[1..] {
                    let is_early = later.now_or_never().is_some_and(|outcome| outcome.is_ok());
                    assert!(!is_early, "a callback came early");
                }
                return Ok(());
            };
            let call = *call;
            drop(self.in_flight.remove(0));
            outcome?;
            self.past.acknowledge(call);
        }
        Ok(())
    }

    /// Checks the numbers of a crashed log's records, in bytes 2 to 9.
    async fn look(&mut self, seen: &mut Seen) {
        let mut reader = match options().read_on(&self.disk, DIR).await {
            Ok(reader) => reader,
            // A process that is killed at once has created no directory, and promised nothing.
            Err(Error::Io(fault)) if fault.io_error().kind() == ErrorKind::NotFound => {
                return assert_eq!(self.past.now(), Model::default());
            }
            Err(error) => panic!("{error:?}"),
        };
        let mut next = None;
        let mut voids = 0;
        while let Some(record) = reader.try_next().await.unwrap() {
            let number = u64::from_le_bytes(record.payload[2..10].try_into().unwrap());
            if next.is_none_or(|next| next == number) {
                next = Some(number + 1);
            } else {
                voids += 1;
            }
        }
        seen.voids += u64::from(voids > 0);
        seen.truncated += u64::from(reader.report().oldest > Lsn::FIRST);
    }
}

/// Prints the seed that failed.
struct Label(u64);

impl Drop for Label {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", self.0);
        }
    }
}
