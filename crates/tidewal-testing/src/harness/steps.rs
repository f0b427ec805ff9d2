//! Workloads: what a service does with a log, step by step.

use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use tidewal::sim::SimDisk;
use tidewal::{Durability, Error, Lsn, Wal, WalOptions};

use crate::harness::followers::{Followed, PAUSE, Paces};
use crate::harness::holder::Holder;
use crate::harness::oracle::Oracle;
use crate::support::DIR;

/// One step of a workload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// One append of this many bytes.
    Append(usize),
    /// The same, acknowledged when written.
    Written(usize),
    /// An atomic batch: the number of records and the bytes of each.
    Batch(usize, usize),
    /// Concurrent appends: their number and the bytes of each.
    Together(usize, usize),
    /// The same, all dropped after they were polled once.
    Cancelled(usize, usize),
    Sync,
    /// Truncate everything acknowledged so far except this many records.
    Truncate(u64),
    /// Finish the open segment.
    Rotate,
    /// Let the log go idle.
    Idle,
    /// Let followers catch up.
    Pause,
    /// Close the log and open it again.
    Reopen,
    /// Drop the log and open it again.
    Drop,
}

/// A service that runs steps.
pub struct Driver<'a> {
    pub disk: &'a SimDisk,
    pub options: &'a WalOptions,
    pub oracle: &'a mut Oracle,
    /// Whether the log syncs only on request.
    pub is_manual: bool,
    /// The followers of the log, if any, and their pace.
    pub followers: Option<(Followed, Paces)>,
    /// The consumer that holds records of the log, if any.
    pub holder: Option<&'a mut Holder>,
}

impl<'a> Driver<'a> {
    pub fn new(disk: &'a SimDisk, options: &'a WalOptions, oracle: &'a mut Oracle) -> Self {
        Self {
            disk,
            options,
            oracle,
            is_manual: false,
            followers: None,
            holder: None,
        }
    }

    /// Opens the log and runs steps until one fails. Returns the log if none fails.
    pub async fn start(&mut self, steps: &[Step]) -> Result<Wal, Error> {
        let wal = self.open().await?;
        self.go_on(wal, steps).await
    }

    /// Recovers the log and checks it against the oracle. Returns it open.
    ///
    /// Records that were read from the disk must stay. Records that were read from the cache after
    /// a kill must stay only once the log is open.
    pub async fn recover(&mut self) -> Result<Wal, Error> {
        let is_cache_clean = self.disk.volatile_changes() == 0;
        let mut recovery = self.options.clone().recover_on(self.disk, DIR).await?;
        let mut records = Vec::new();
        while let Some(record) = recovery.try_next().await? {
            records.push(record);
        }
        self.oracle.check(&records);
        let wal = if is_cache_clean {
            self.oracle.adopt(records);
            recovery.into_wal().await?
        } else {
            let wal = recovery.into_wal().await?;
            self.oracle.adopt(records);
            wal
        };
        self.start_consumers(&wal);
        Ok(wal)
    }

    pub async fn recover_and_append(&mut self) -> Result<Wal, Error> {
        let wal = self.recover().await?;
        self.go_on(wal, &[Step::Append(10)]).await
    }

    /// Runs steps until one fails. Returns the log if none fails.
    pub async fn go_on(&mut self, mut wal: Wal, steps: &[Step]) -> Result<Wal, Error> {
        for step in steps {
            wal = self.step(wal, *step).await?;
        }
        Ok(wal)
    }

    async fn step(&mut self, wal: Wal, step: Step) -> Result<Wal, Error> {
        match step {
            Step::Reopen => {
                wal.close().await?;
                self.open().await
            }
            Step::Drop => {
                drop(wal);
                self.open().await
            }
            _ => {
                self.work(&wal, step).await?;
                Ok(wal)
            }
        }
    }

    /// Runs a step in which the log stays open. What a hold refuses works once the hold has moved.
    async fn work(&mut self, wal: &Wal, step: Step) -> Result<(), Error> {
        let mut done = self.try_work(wal, step).await;
        if matches!(done, Err(Error::StorageFull(_)))
            && let Some(holder) = &mut self.holder
            && holder.give_way(self.oracle)
        {
            done = self.try_work(wal, step).await;
        }
        if let Some(holder) = &mut self.holder {
            holder.check(wal);
            holder.act(wal, self.oracle);
        }
        done
    }

    async fn try_work(&mut self, wal: &Wal, step: Step) -> Result<(), Error> {
        match step {
            Step::Append(len) => self.append(wal, len).await,
            Step::Written(len) => self.append_written(wal, len).await,
            Step::Batch(count, len) => self.append_batch(wal, count, len).await,
            Step::Together(count, len) => self.append_together(wal, count, len).await,
            Step::Sync => wal.sync().await.map(drop),
            Step::Truncate(keep) => self.truncate(wal, keep).await,
            Step::Rotate => wal.rotate().await,
            Step::Cancelled(count, len) => {
                self.cancel_appends(wal, count, len);
                Ok(())
            }
            Step::Idle => {
                tokio::time::sleep(Duration::from_millis(150)).await;
                Ok(())
            }
            Step::Pause => {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            Step::Reopen | Step::Drop => unreachable!("the log stays open"),
        }
    }

    async fn open(&mut self) -> Result<Wal, Error> {
        let wal = self.options.clone().open_on(self.disk, DIR).await?;
        self.start_consumers(&wal);
        Ok(wal)
    }

    fn start_consumers(&mut self, wal: &Wal) {
        if let Some(holder) = &mut self.holder {
            holder.open(wal, self.oracle);
        }
        if let Some((followed, paces)) = &mut self.followers {
            followed.start(wal, paces);
        }
    }

    async fn append(&mut self, wal: &Wal, len: usize) -> Result<(), Error> {
        let payloads = self.oracle.ask(1, len);
        let lsn = self.durable(wal, wal.append(payloads[0].clone())).await?;
        self.oracle.note(lsn, payloads);
        Ok(())
    }

    async fn append_written(&mut self, wal: &Wal, len: usize) -> Result<(), Error> {
        let mut payloads = self.oracle.ask(1, len);
        let append = wal.append_with(payloads[0].clone(), Durability::Written);
        let lsn = append.await?;
        self.oracle.note_written(lsn, payloads.remove(0));
        Ok(())
    }

    async fn append_batch(&mut self, wal: &Wal, count: usize, len: usize) -> Result<(), Error> {
        let payloads = self.oracle.ask(count, len);
        let lsns = self
            .durable(wal, wal.append_batch(payloads.clone()))
            .await?;
        self.oracle.note(*lsns.start(), payloads);
        Ok(())
    }

    async fn append_together(&mut self, wal: &Wal, count: usize, len: usize) -> Result<(), Error> {
        let asked: Vec<_> = (0..count).map(|_| self.oracle.ask(1, len)).collect();
        let appends = asked.iter().map(|payloads| wal.append(payloads[0].clone()));
        let answers = self
            .durable(wal, async { Ok(join_all(appends).await) })
            .await?;
        let mut result = Ok(());
        for (payloads, answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(lsn) => self.oracle.note(lsn, payloads),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn cancel_appends(&mut self, wal: &Wal, count: usize, len: usize) {
        let asked: Vec<_> = (0..count).map(|_| self.oracle.ask(1, len)).collect();
        let appends = asked
            .into_iter()
            .map(|mut payloads| wal.append(payloads.remove(0)));
        let mut appends: Vec<_> = appends.map(tokio_test::task::spawn).collect();
        for append in &mut appends {
            drop(append.poll());
        }
    }

    async fn truncate(&mut self, wal: &Wal, keep: u64) -> Result<(), Error> {
        let mark = Lsn::new((self.oracle.last().get() + 1).saturating_sub(keep));
        self.oracle.note_mark(mark);
        wal.truncate_before(mark).await
    }

    /// Waits for something that a sync completes. Under [`SyncPolicy::Manual`] it requests the
    /// sync.
    async fn durable<T>(
        &self,
        wal: &Wal,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = std::pin::pin!(work);
        loop {
            let synced = async {
                if self.is_manual {
                    wal.sync().await.map(drop)
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                synced = synced => synced?,
            }
        }
    }
}
