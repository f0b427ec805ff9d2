//! The lower bound of the disk: one thread, `write` and `fdatasync`, in a file of which every byte was written
//! before, so a sync has no metadata to write.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};

use super::{BlockingLog, Entry, MIB, Recovery, SEGMENT, State, threads};

pub const ENTRY: Entry = Entry {
    name: "bare",
    of: None,
    how: "one thread, `write` and `fdatasync` on a prewritten file, no log at all",
    open: |dir, state| Ok(threads(Floor::create(dir, state)?)),
    recovery: Some(Recovery { fill, read }),
    ..Entry::BASE
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
            State::Traced => SEGMENT / 64,
            State::Settled | State::New | State::Reopened => SEGMENT,
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

/// Records as any log has them: a length, a checksum, the payload.
fn fill(dir: &Path, count: usize, len: usize) -> Result<()> {
    let payload = vec![0x5a; len];
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&u32::try_from(len)?.to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    let mut file = BufWriter::new(File::create_new(dir.join("bare"))?);
    for _ in 0..count {
        file.write_all(&head)?;
        file.write_all(&payload)?;
    }
    Ok(file.into_inner()?.sync_all()?)
}

/// The lower bound of reading: one thread reads 1 MiB at a time, walks the records and computes the checksum of
/// each. The records are not passed on.
fn read(dir: &Path) -> Result<(u64, u64)> {
    let mut file = File::open(dir.join("bare"))?;
    let mut block = vec![0; MIB];
    let (mut records, mut bytes, mut kept) = (0, 0, 0);
    loop {
        let filled = kept + file.read(&mut block[kept..])?;
        if filled == kept {
            ensure!(kept == 0, "the last record is not complete");
            return Ok((records, bytes));
        }
        let mut rest = &block[..filled];
        while let Some((head, payload)) = record(rest) {
            ensure!(
                crc32fast::hash(payload).to_le_bytes() == head[4..],
                "damage"
            );
            records += 1;
            bytes += payload.len() as u64;
            rest = &rest[HEAD + payload.len()..];
        }
        kept = rest.len();
        block.copy_within(filled - kept..filled, 0);
    }
}

/// The record at the beginning of some bytes, if it is complete.
fn record(bytes: &[u8]) -> Option<(&[u8; HEAD], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    Some((head, rest.get(..len as usize)?))
}

const HEAD: usize = 8;
