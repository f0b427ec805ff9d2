//! `raft-engine`: writers queue up, the first of them writes for all and calls `fdatasync` once if
//! one of them asked for it, and `write(.., true)` returns after that.
//!
//! According to its source (0.4.2): `Engine::write` -> `WriteBarrier::enter` -> `PipeLog::sync` ->
//! `LogFileWriter::sync` -> `nix::unistd::fdatasync`.
//!
//! It keeps the logs of many raft groups. The indexes of a group have no gaps, so each producer is a group. An
//! entry is a message that contains its index, as in raft. TiKV uses it from threads. The options are the
//! defaults, with three exceptions: spare files are written ahead (`prefill_for_recycle`), which recycling
//! achieves later anyway. Files are purged from 512 MiB on, instead of 10 GiB. Nothing is compressed, because
//! no other peer compresses.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::{BlockingLog, Entry, MIB, Recovery, State, spawned, sync_files, threads};
use crate::workload::Call;

pub const THREADS: Entry = Entry {
    name: "raft-engine",
    of: Some("raft-engine"),
    how: "a thread and a raft group for each producer, `write(batch of one entry, sync)`; recycled files",
    calls: &[Call::Durable, Call::Written, Call::Batch],
    open: |dir, state| Ok(threads(RaftEngine::open(dir, state)?)),
    recovery: Some(Recovery { fill, read }),
    ..Entry::BASE
};

pub const SPAWNED: Entry = Entry {
    name: "raft-engine-spawned",
    of: Some("raft-engine"),
    how: "the same in `spawn_blocking` for each append",
    is_variant: true,
    open: |dir, state| Ok(spawned(RaftEngine::open(dir, state)?)),
    ..Entry::BASE
};

struct RaftEngine {
    engine: Engine,
    /// The next index of each group.
    next: Vec<AtomicU64>,
}

/// An entry's bytes begin with its index.
struct Indexed;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let index = entry.value.first_chunk().expect("an entry has its index");
        u64::from_le_bytes(*index)
    }
}

impl RaftEngine {
    fn open(dir: &Path, state: State) -> Result<Self> {
        let settled = state == State::Settled;
        let engine = Engine::open(Config {
            dir: dir.to_str().context("a path in UTF-8")?.to_owned(),
            batch_compression_threshold: ReadableSize(0),
            purge_threshold: ReadableSize::mb(512),
            prefill_for_recycle: settled,
            prefill_limit: settled.then_some(ReadableSize::mb(256)),
            ..Config::default()
        })?;
        let groups = MOST_PRODUCERS + 1;
        let next = (0..groups).map(|_| AtomicU64::new(1)).collect();
        let log = Self { engine, next };
        if settled {
            log.settle(dir)?;
        }
        Ok(log)
    }

    /// Leaves the first file behind, which was not written ahead.
    fn settle(&self, dir: &Path) -> Result<()> {
        let filler = vec![0x5a; MIB];
        for _ in 0..FILE_MIB + 2 {
            self.write(MOST_PRODUCERS, &filler, false)?;
        }
        self.trim()?;
        sync_files(dir)
    }

    fn write(&self, group: usize, payload: &[u8], sync: bool) -> Result<()> {
        self.write_all(group, &[payload], sync)
    }

    /// The entries of one `LogBatch` are recovered all or nothing.
    fn write_all(&self, group: usize, payloads: &[impl AsRef<[u8]>], sync: bool) -> Result<()> {
        let first = self.next[group].fetch_add(payloads.len() as u64, Ordering::Relaxed);
        let entries = (first..).zip(payloads);
        let entries: Vec<_> = entries
            .map(|(index, payload)| entry(index, payload.as_ref()))
            .collect();
        let mut batch = LogBatch::default();
        batch.add_entries::<Indexed>(group as u64 + 1, &entries)?;
        self.engine.write(&mut batch, sync)?;
        Ok(())
    }
}

fn entry(index: u64, payload: &[u8]) -> BytesValue {
    let mut entry = BytesValue::new();
    entry.value.reserve_exact(8 + payload.len());
    entry.value.extend_from_slice(&index.to_le_bytes());
    entry.value.extend_from_slice(payload);
    entry
}

impl BlockingLog for RaftEngine {
    fn append(&self, producer: usize, payload: &[u8]) -> Result<()> {
        self.write(producer, payload, true)
    }

    fn append_written(&self, producer: usize, payload: &[u8]) -> Result<()> {
        self.write(producer, payload, false)
    }

    fn append_batch(&self, producer: usize, payloads: &[Bytes]) -> Result<()> {
        self.write_all(producer, payloads, true)
    }

    fn trim(&self) -> Result<()> {
        for (group, next) in self.next.iter().enumerate() {
            let next = next.load(Ordering::Relaxed);
            if next > 1 {
                self.engine.compact_to(group as u64 + 1, next);
            }
        }
        self.engine.purge_expired_files()?;
        Ok(())
    }
}

/// One raft group, as in a node of one group.
fn fill(dir: &Path, count: usize, len: usize) -> Result<()> {
    let log = RaftEngine::open(dir, State::New)?;
    let payloads = vec![vec![0x5a; len]; FILLED_AT_ONCE.min(count)];
    for _ in 0..count / payloads.len() {
        log.write_all(0, &payloads, false)?;
    }
    log.write_all(0, &payloads[..count % payloads.len()], true)?;
    Ok(log.engine.sync()?)
}

/// Opens the log, which reads everything to build its index, and then fetches the entries.
fn read(dir: &Path) -> Result<(u64, u64)> {
    let engine = RaftEngine::open(dir, State::New)?.engine;
    let end = engine.last_index(1).context("the group has entries")? + 1;
    let mut next = engine.first_index(1).context("the group has entries")?;
    let (mut records, mut bytes, mut entries) = (0, 0, Vec::new());
    while next < end {
        let upto = end.min(next + 1024);
        engine.fetch_entries_to::<Indexed>(1, next, upto, None, &mut entries)?;
        next = upto;
        records += entries.len() as u64;
        bytes += entries
            .drain(..)
            .map(|entry| entry.value.len() as u64 - 8)
            .sum::<u64>();
    }
    Ok((records, bytes))
}

const FILLED_AT_ONCE: usize = 256;

/// The largest number of raft groups, one for each producer.
const MOST_PRODUCERS: usize = 1024;

/// `target_file_size`.
const FILE_MIB: usize = 128;
