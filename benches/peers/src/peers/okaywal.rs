//! `okaywal`: threads share an `fsync`, and `EntryWriter::commit` returns after it.
//!
//! Seen in its source (0.3.1): `commit` -> `WriteAheadLog::reclaim` -> `LogFile::synchronize`, which
//! calls `sync_data`, or waits for the thread that does and then looks whether its bytes were in it.
//!
//! Its default files of 1 MiB are checkpointed every 768 KiB, thousands of times a minute at these
//! rates. Its documentation asks for files "large enough to allow batching": they are as large as
//! tidewal's here, and checkpointed at the same three quarters. A checkpoint does nothing
//! (`LogVoid`), so that what is measured is the log.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use okaywal::{Configuration, LogVoid, WriteAheadLog};

use super::{BlockingLog, Entry, SEGMENT, State, spawned, sync_files, threads};

pub const THREADS: Entry = Entry {
    name: "okaywal",
    of: Some("okaywal"),
    how: "a thread for each producer, `begin_entry`, `write_chunk`, `commit`; files of 64 MiB",
    open: |dir, state| Ok(threads(Okaywal::open(dir, state)?)),
};

pub const SPAWNED: Entry = Entry {
    name: "okaywal-spawned",
    of: Some("okaywal"),
    how: "the same in `spawn_blocking` for each append",
    open: |dir, state| Ok(spawned(Okaywal::open(dir, state)?)),
};

struct Okaywal(WriteAheadLog);

impl Okaywal {
    fn open(dir: &Path, state: State) -> Result<Self> {
        let mut options = Configuration::default_for(dir);
        if state == State::Settled {
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

    /// Makes spare files: a file comes back, to be used again, once it was checkpointed. (That
    /// happens on a thread of its own, of which one cannot hear.)
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

    /// It trims itself.
    fn trim(&self) -> Result<()> {
        Ok(())
    }
}
