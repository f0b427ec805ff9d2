//! This crate, with its default options: an append returns after the sync that follows it.

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use tidewal::{Durability, Wal};
use tokio::runtime::Handle;

use super::{AsyncLog, Entry, MIB, State, tasks};

pub const ENTRY: Entry = Entry {
    name: "tidewal",
    of: Some("tidewal"),
    how: "`append().await`, default options",
    open: |dir, state| {
        Ok(tasks(
            Handle::current().block_on(Tidewal::open(dir, state))?,
        ))
    },
};

struct Tidewal(Wal);

impl Tidewal {
    async fn open(dir: &Path, state: State) -> Result<Self> {
        let log = Self(Wal::open(dir).await?);
        if state == State::Settled {
            log.settle().await?;
        }
        Ok(log)
    }

    /// Leaves the first segments behind, which were not written ahead. A truncation that has
    /// something to cut returns only after a spare was made ready.
    async fn settle(&self) -> Result<()> {
        for _ in 0..2 {
            let filler = Bytes::from(vec![0x5a; MIB]);
            let opened = self.0.stats().segments.max(1);
            while self.0.stats().segments <= opened {
                self.0
                    .append_with(filler.clone(), Durability::Written)
                    .await?;
            }
            self.trim().await?;
        }
        Ok(())
    }
}

impl AsyncLog for Tidewal {
    async fn append(&self, payload: Bytes) -> Result<()> {
        self.0.append(payload).await?;
        Ok(())
    }

    async fn trim(&self) -> Result<()> {
        let end = self.0.sync().await?;
        Ok(self.0.truncate_before(end.next()).await?)
    }
}
