//! `okaywal`: threads share an `fsync`, and `EntryWriter::commit` returns after it.
//!
//! According to its source (0.3.1): `commit` -> `WriteAheadLog::reclaim` -> `LogFile::synchronize`, which calls
//! `sync_data`, or waits for the thread that does and then checks whether that sync covered its bytes.
//!
//! Its default files of 1 MiB are checkpointed every 768 KiB, thousands of times a minute at these rates. Its
//! documentation asks for files "large enough to allow batching": they are as large as tidewal's here, and
//! checkpointed at the same three quarters. A checkpoint does nothing (`LogVoid`), so only the log is measured.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use okaywal::{Configuration, LogManager, LogVoid, SegmentReader, WriteAheadLog};

use super::{BlockingLog, Entry, Recovery, SEGMENT, State, spawned, sync_files, threads};
use crate::workload::Call;

pub const THREADS: Entry = Entry {
    name: "okaywal",
    of: Some("okaywal"),
    how: "a thread for each producer, `begin_entry`, `write_chunk`, `commit`; files of 64 MiB",
    calls: &[Call::Durable, Call::Batch],
    open: |dir, state| Ok(threads(Okaywal::open(dir, state)?)),
    recovery: Some(Recovery { fill, read }),
    ..Entry::BASE
};

pub const SPAWNED: Entry = Entry {
    name: "okaywal-spawned",
    of: Some("okaywal"),
    how: "the same in `spawn_blocking` for each append",
    is_variant: true,
    open: |dir, state| Ok(spawned(Okaywal::open(dir, state)?)),
    ..Entry::BASE
};

struct Okaywal(WriteAheadLog);

impl Okaywal {
    fn open(dir: &Path, state: State) -> Result<Self> {
        let mut options = Configuration::default_for(dir);
        if state != State::Traced {
            options = options
                .preallocate_bytes(u32::try_from(SEGMENT)?)
                .checkpoint_after_bytes(SEGMENT as u64 / 4 * 3);
        }
        let log = Self(options.open(LogVoid)?);
        if state == State::Settled {
            log.settle(dir)?;
        }
        Ok(log)
    }

    /// Makes spare files: a file can be reused once it was checkpointed. (This happens on a separate thread,
    /// which does not report it.)
    fn settle(&self, dir: &Path) -> Result<()> {
        for _ in 0..3 {
            self.append(0, b"settle")?;
            self.0.checkpoint_active()?;
        }
        std::thread::sleep(Duration::from_millis(200));
        sync_files(dir)
    }
}

impl BlockingLog for Okaywal {
    fn append(&self, _producer: usize, payload: &[u8]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        entry.write_chunk(payload)?;
        entry.commit()?;
        Ok(())
    }

    /// An entry is recovered all or nothing.
    fn append_batch(&self, _producer: usize, payloads: &[Bytes]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for payload in payloads {
            entry.write_chunk(payload)?;
        }
        entry.commit()?;
        Ok(())
    }

    /// It trims itself.
    fn trim(&self) -> Result<()> {
        Ok(())
    }
}

/// Entries of a hundred chunks, each of which is a record. An entry is synced before the next one.
fn fill(dir: &Path, count: usize, len: usize) -> Result<()> {
    let log = recovery_options(dir)?.open(LogVoid)?;
    let payload = vec![0x5a; len];
    let mut left = count;
    while left > 0 {
        let chunks = left.min(100);
        let mut entry = log.begin_entry()?;
        for _ in 0..chunks {
            entry.write_chunk(&payload)?;
        }
        entry.commit()?;
        left -= chunks;
    }
    Ok(log.shutdown()?)
}

/// Nothing is checkpointed, so everything remains to be recovered.
fn recovery_options(dir: &Path) -> Result<Configuration> {
    let options = Configuration::default_for(dir).preallocate_bytes(u32::try_from(SEGMENT)?);
    Ok(options.checkpoint_after_bytes(1 << 40))
}

fn read(dir: &Path) -> Result<(u64, u64)> {
    let count = Arc::new(Count::default());
    let log = recovery_options(dir)?.open(Counting(Arc::clone(&count)))?;
    log.shutdown()?;
    let Count { records, bytes } = &*count;
    Ok((
        records.load(Ordering::Relaxed),
        bytes.load(Ordering::Relaxed),
    ))
}

#[derive(Debug, Default)]
struct Count {
    records: AtomicU64,
    bytes: AtomicU64,
}

/// Counts the recovered records.
#[derive(Debug)]
struct Counting(Arc<Count>);

impl LogManager for Counting {
    fn recover(&mut self, entry: &mut okaywal::Entry<'_>) -> io::Result<()> {
        for chunk in entry.read_all_chunks()?.unwrap_or_default() {
            self.0.records.fetch_add(1, Ordering::Relaxed);
            self.0
                .bytes
                .fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: okaywal::EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}
