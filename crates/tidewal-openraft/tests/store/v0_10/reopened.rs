//! A raft log that crashes before and during every call.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tidewal::sim::{SimDisk, Survival};
use tidewal_openraft::v0_10::LogReader;

use super::api::{Calls, Entry, LogId, RaftLog, Vote, open};
use super::machine::Types;
use crate::rng::Rng;
use crate::support::options;

/// How a log crashes.
#[derive(Clone, Copy, Debug)]
pub enum Death {
    /// The process is killed between two calls.
    Kill,
    /// The power is cut between two calls, and these unsynced changes survive.
    Cut(Survival),
    /// The power is also cut at some operation of the call. The call fails and is repeated.
    CutWithin,
    /// No crash: the log is dropped, and opened by the same process.
    Drop,
}

/// A raft log that crashes and is recovered before each call.
pub struct Reopened {
    disk: SimDisk,
    death: Death,
    /// How often the current call has failed.
    failures: u64,
    rng: Arc<Mutex<Rng>>,
    log: Option<RaftLog>,
    reader: Follower,
}

/// A reader of the open log. The suite reads through one that it got before it appended.
#[derive(Clone)]
pub struct Follower(Arc<Mutex<LogReader<Types>>>);

impl Follower {
    fn now(&self) -> LogReader<Types> {
        self.0.lock().unwrap().clone()
    }
}

impl RaftLogReader<Types> for Follower {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.now().try_get_log_entries(range).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.now().read_vote().await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.now().limited_get_log_entries(start, end).await
    }
}

impl Reopened {
    pub async fn new(death: Death, seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let log = open(options(), &disk).await.unwrap();
        Self {
            reader: Follower(Arc::new(Mutex::new(log.reader()))),
            log: Some(log),
            disk,
            death,
            failures: 0,
            rng: Arc::new(Mutex::new(Rng::new(seed))),
        }
    }

    /// Crashes and is recovered.
    async fn reopened(&mut self) -> &mut RaftLog {
        match self.death {
            Death::Kill => self.disk.kill(),
            Death::Cut(survival) => self.disk.restart(survival),
            Death::CutWithin => self.disk.restart(Survival::Random),
            Death::Drop => {}
        }
        self.log = None;
        let log = open(options(), &self.disk).await.unwrap();
        *self.reader.0.lock().unwrap() = log.reader();
        self.log.insert(log)
    }

    /// As `reopened`; the power may go soon.
    async fn doomed(&mut self) -> &mut RaftLog {
        self.reopened().await;
        if matches!(self.death, Death::CutWithin) {
            // A call that needs more operations gets through once it has failed often enough.
            let after = self.rng.lock().unwrap().roll(12 + 4 * self.failures);
            self.disk.cut_power_at(self.disk.operations() + after);
        }
        self.log.as_mut().unwrap()
    }

    /// Whether a failed call must be repeated.
    fn again<T>(&mut self, outcome: &Result<T, io::Error>) -> bool {
        if let Err(error) = outcome {
            assert!(self.disk.is_off(), "{error}");
        }
        self.failures = match outcome {
            Ok(_) => 0,
            Err(_) => self.failures + 1,
        };
        outcome.is_err()
    }
}

impl RaftLogStorage<Types> for Reopened {
    type LogReader = Follower;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        self.reopened().await.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> Follower {
        self.reopened().await;
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        loop {
            let outcome = self.doomed().await.save_vote(vote).await;
            if !self.again(&outcome) {
                return outcome;
            }
        }
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let log = self.reopened().await;
        log.save_committed(committed).await?;
        // It need not survive. With a durable record after it, it does, so the suite checks it.
        let vote = log.saved_vote().await.unwrap_or(Vote::new(0, 0));
        log.save_vote(&vote).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.reopened().await.read_committed().await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries: Vec<_> = entries.into_iter().collect();
        let before = self.reopened().await.get_log_state().await?.last_log_id;
        loop {
            let log = self.doomed().await;
            let last = log.get_log_state().await?.last_log_id;
            if last != before {
                // The failed call may have appended the first ones.
                entries.retain(|entry| last.is_none_or(|last| entry.log_id.index > last.index));
            }
            let outcome = log.append_durably(entries.clone()).await;
            if !self.again(&outcome) {
                callback.io_completed(Ok(()));
                return outcome;
            }
        }
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        loop {
            let outcome = self.doomed().await.truncate_after(last).await;
            if !self.again(&outcome) {
                return outcome;
            }
        }
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        loop {
            let outcome = self.doomed().await.purge(upto).await;
            if !self.again(&outcome) {
                return outcome;
            }
        }
    }
}
