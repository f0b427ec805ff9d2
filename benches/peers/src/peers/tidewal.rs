//! This crate, with its default options: an append returns after the sync that follows it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use tidewal::{Durability, Lsn, PendingAppend, Wal};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{AsyncLog, Entry, MIB, Recovery, State, tasks};
use crate::workload::Call;

pub const ENTRY: Entry = Entry {
    name: "tidewal",
    of: Some("tidewal"),
    how: "`append().await`, default options; truncated whenever a segment was left",
    calls: &[Call::Durable, Call::Written, Call::Batch],
    pipelines: true,
    states: &[State::Settled, State::New, State::Reopened],
    open: |dir, state| {
        Ok(tasks(
            Handle::current().block_on(Tidewal::open(dir, state))?,
        ))
    },
    recovery: Some(Recovery {
        fill: |dir, count, len| Handle::current().block_on(fill(dir, count, len)),
        read: |dir| Handle::current().block_on(read(dir)),
    }),
    ..Entry::BASE
};

struct Tidewal {
    wal: Wal,
    /// Truncates as a service does after its snapshots.
    truncator: JoinHandle<Result<()>>,
}

impl Tidewal {
    async fn open(dir: &Path, state: State) -> Result<Self> {
        if state == State::Reopened {
            let wal = Wal::open(dir).await?;
            wal.append("before").await?;
            wal.close().await?;
        }
        let wal = Wal::open(dir).await?;
        let truncator = tokio::spawn(truncate_as_it_goes(wal.clone()));
        let log = Self { wal, truncator };
        if state == State::Settled {
            log.settle().await?;
        }
        Ok(log)
    }

    /// Leaves the first segments behind, which were not written ahead. A truncation that removes a segment
    /// returns only after a spare was made ready.
    async fn settle(&self) -> Result<()> {
        for _ in 0..2 {
            let filler = Bytes::from(vec![0x5a; MIB]);
            let opened = self.wal.stats().segments.max(1);
            while self.wal.stats().segments <= opened {
                self.append_written(filler.clone()).await?;
            }
            self.trim().await?;
        }
        Ok(())
    }
}

impl Drop for Tidewal {
    fn drop(&mut self) {
        self.truncator.abort();
    }
}

async fn truncate_as_it_goes(wal: Wal) -> Result<()> {
    let mut seen = wal.stats().segments;
    loop {
        tokio::time::sleep(TRUNCATION_POLL).await;
        let opened = wal.stats().segments;
        if opened > seen {
            seen = opened;
            wal.truncate_before(wal.durable_lsn().next()).await?;
        }
    }
}

/// One append in flight.
pub struct Pending(PendingAppend);

impl Future for Pending {
    type Output = Result<()>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<()>> {
        let answer = std::pin::Pin::new(&mut self.0).poll(context);
        answer.map(|answer| Ok(answer.map(drop)?))
    }
}

impl AsyncLog for Tidewal {
    type Pending = Pending;

    async fn submit(&self, payload: Bytes) -> Result<Pending> {
        Ok(Pending(self.wal.submit(payload).await?))
    }

    async fn append_written(&self, payload: Bytes) -> Result<()> {
        self.wal.append_with(payload, Durability::Written).await?;
        Ok(())
    }

    async fn append_batch(&self, payloads: Vec<Bytes>) -> Result<()> {
        self.wal.append_batch(payloads).await?;
        Ok(())
    }

    async fn trim(&self) -> Result<()> {
        let end = self.wal.sync().await?;
        Ok(self.wal.truncate_before(end.next()).await?)
    }
}

/// Records one by one, as a service writes them, with many in flight.
async fn fill(dir: &Path, count: usize, len: usize) -> Result<()> {
    let wal = Wal::open(dir).await?;
    let payload = Bytes::from(vec![0x5a; len]);
    let mut last = None;
    for _ in 0..count {
        last = Some(wal.submit(payload.clone()).await?);
    }
    if let Some(last) = last {
        ensure!(last.await? == Lsn::new(count as u64), "a record is missing");
    }
    Ok(wal.close().await?)
}

async fn read(dir: &Path) -> Result<(u64, u64)> {
    let mut recovery = Wal::recover(dir).await?;
    let (mut records, mut bytes) = (0, 0);
    while let Some(record) = recovery.try_next().await? {
        records += 1;
        bytes += record.payload.len() as u64;
    }
    Ok((records, bytes))
}

/// How often the truncating task checks for a new segment.
const TRUNCATION_POLL: Duration = Duration::from_millis(5);
