//! What the disk takes at least: one thread, write and `fdatasync`, on a file of which every byte
//! was written before, so that a sync has no metadata to write.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::{BlockingLog, Entry, SEGMENT, State, threads};

pub const ENTRY: Entry = Entry {
    name: "bare",
    of: None,
    how: "one thread, `write` and `fdatasync` on a prewritten file, no log at all",
    open: |dir, state| Ok(threads(Floor::create(dir, state)?)),
};

struct Floor(Mutex<Prewritten>);

struct Prewritten {
    file: File,
    offset: usize,
    len: usize,
}

impl Floor {
    fn create(dir: &Path, state: State) -> Result<Self> {
        let len = match state {
            State::Settled => SEGMENT,
            State::New => SEGMENT / 64,
        };
        let mut file = File::create_new(dir.join("bare"))?;
        file.write_all(&vec![0; len])?;
        file.sync_all()?;
        Ok(Self(Mutex::new(Prewritten {
            file,
            offset: len,
            len,
        })))
    }
}

impl BlockingLog for Floor {
    fn append(&self, _producer: usize, payload: &[u8]) -> Result<()> {
        let mut bare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bare.offset + payload.len() > bare.len {
            bare.file.rewind()?;
            bare.offset = 0;
        }
        bare.file.write_all(payload)?;
        bare.file.sync_data()?;
        bare.offset += payload.len();
        Ok(())
    }

    fn trim(&self) -> Result<()> {
        Ok(())
    }
}
