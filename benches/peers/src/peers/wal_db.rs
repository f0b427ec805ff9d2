//! `wal-db`: threads share an `fdatasync` in `append_and_sync`, which returns after it.
//!
//! According to its source (1.1.0): `append_and_sync` -> `Commit::sync_to` -> `FileStore::sync` (`fdatasync`),
//! by one thread for all whose bytes are written.
//!
//! Its README recommends `spawn_blocking` in an async service, and its own comparison has a thread for each
//! producer. Both are measured, on a single file, as in its Quick Start. It cannot write a file ahead, so each
//! sync also writes the file's new length.

use std::path::Path;

use anyhow::Result;
use wal_db::{Lsn, Wal};

use super::{BlockingLog, Entry, Recovery, spawned, threads};
use crate::workload::Call;

pub const THREADS: Entry = Entry {
    name: "wal-db",
    of: Some("wal-db"),
    how: "a thread for each producer, `append_and_sync`, one file",
    calls: &[Call::Durable, Call::Written],
    open: |dir, _| Ok(threads(WalDb::open(dir)?)),
    recovery: Some(Recovery { fill, read }),
    ..Entry::BASE
};

pub const SPAWNED: Entry = Entry {
    name: "wal-db-spawned",
    of: Some("wal-db"),
    how: "the same in `spawn_blocking` for each append, as its README has it",
    is_variant: true,
    open: |dir, _| Ok(spawned(WalDb::open(dir)?)),
    ..Entry::BASE
};

struct WalDb(Wal);

impl WalDb {
    fn open(dir: &Path) -> Result<Self> {
        Ok(Self(Wal::open(dir.join("log"))?))
    }
}

impl BlockingLog for WalDb {
    fn append(&self, _producer: usize, payload: &[u8]) -> Result<()> {
        let _lsn = self.0.append_and_sync(payload)?;
        Ok(())
    }

    fn append_written(&self, _producer: usize, payload: &[u8]) -> Result<()> {
        let _lsn = self.0.append(payload)?;
        Ok(())
    }

    /// A single file can be cut only at its end: here after its first record.
    fn trim(&self) -> Result<()> {
        Ok(self.0.truncate_after(Lsn::new(0))?)
    }
}

fn fill(dir: &Path, count: usize, len: usize) -> Result<()> {
    let WalDb(log) = WalDb::open(dir)?;
    let payload = vec![0x5a; len];
    for _ in 0..count {
        let _lsn = log.append(&payload)?;
    }
    Ok(log.sync()?)
}

fn read(dir: &Path) -> Result<(u64, u64)> {
    let WalDb(log) = WalDb::open(dir)?;
    let (mut records, mut bytes) = (0, 0);
    for record in log.iter()? {
        records += 1;
        bytes += u64::try_from(record?.len())?;
    }
    Ok((records, bytes))
}
