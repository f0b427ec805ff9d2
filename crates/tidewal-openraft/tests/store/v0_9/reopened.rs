//! A raft log that crashes before and during every call.

use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex};

use openraft09::storage::{LogFlushed, RaftLogStorage, RaftLogStorageExt};
use openraft09::{Entry, LogId, LogState, OptionalSend, RaftLogReader, StorageError, Vote};
use tidewal::sim::{SimDisk, Survival};
use tidewal_openraft::RaftLogOptions;
use tidewal_openraft::v0_9::{LogReader, RaftLog};

use super::machine::Types;
use crate::rng::Rng;
use crate::support::{DIR, options};

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
    log: Option<RaftLog<Types>>,
}

impl Reopened {
    pub async fn new(death: Death, seed: u64) -> Self {
        let mut new = Self {
            disk: SimDisk::new(seed),
            death,
            failures: 0,
            rng: Arc::new(Mutex::new(Rng::new(seed))),
            log: None,
        };
        new.open().await;
        new
    }

    async fn open(&mut self) {
        let recovery = options().recover_on(&self.disk, DIR).await.unwrap();
        self.log = Some(
            RaftLog::recover(recovery, &RaftLogOptions::new())
                .await
                .unwrap(),
        );
    }

    /// Crashes and is recovered.
    async fn reopened(&mut self) -> &mut RaftLog<Types> {
        match self.death {
            Death::Kill => self.disk.kill(),
            Death::Cut(survival) => self.disk.restart(survival),
            Death::CutWithin => self.disk.restart(Survival::Random),
            Death::Drop => {}
        }
        self.log = None;
        self.open().await;
        self.log.as_mut().unwrap()
    }

    /// As `reopened`; the power may go soon.
    async fn doomed(&mut self) -> &mut RaftLog<Types> {
        self.reopened().await;
        if matches!(self.death, Death::CutWithin) {
            // A call that needs more operations gets through once it has failed often enough.
            let after = self.rng.lock().unwrap().roll(12 + 4 * self.failures);
            self.disk.cut_power_at(self.disk.operations() + after);
        }
        self.log.as_mut().unwrap()
    }

    /// Whether a failed call must be repeated.
    fn again<T>(&mut self, outcome: &Result<T, StorageError<u64>>) -> bool {
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
    type LogReader = LogReader<Types>;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<u64>> {
        self.reopened().await.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> LogReader<Types> {
        self.reopened().await.get_log_reader().await
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        loop {
            let outcome = self.doomed().await.save_vote(vote).await;
            if !self.again(&outcome) {
                return outcome;
            }
        }
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        self.reopened().await.read_vote().await
    }

    async fn save_committed(
        &mut self,
        committed: Option<LogId<u64>>,
    ) -> Result<(), StorageError<u64>> {
        let log = self.reopened().await;
        log.save_committed(committed).await?;
        // It need not survive. With a durable record after it, it does, so the suite checks it.
        let vote = log.read_vote().await?.expect("the suite has voted");
        log.save_vote(&vote).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, StorageError<u64>> {
        self.reopened().await.read_committed().await
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
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
            let outcome = log.blocking_append(entries.clone()).await;
            if !self.again(&outcome) {
                callback.log_io_completed(Ok(()));
                return outcome;
            }
        }
    }

    async fn truncate(&mut self, since: LogId<u64>) -> Result<(), StorageError<u64>> {
        loop {
            let outcome = self.doomed().await.truncate(since).await;
            if !self.again(&outcome) {
                return outcome;
            }
        }
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<(), StorageError<u64>> {
        loop {
            let outcome = self.doomed().await.purge(upto).await;
            if !self.again(&outcome) {
                return outcome;
            }
        }
    }
}

impl RaftLogReader<Types> for Reopened {
    async fn try_get_log_entries<R>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types>>, StorageError<u64>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.reopened().await.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<Types>>, StorageError<u64>> {
        self.reopened()
            .await
            .limited_get_log_entries(start, end)
            .await
    }
}
