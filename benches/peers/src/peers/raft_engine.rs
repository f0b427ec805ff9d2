//! `raft-engine`: writers queue up, the first of them writes for all and calls `fdatasync` once if
//! one of them asked for it, and `write(.., true)` returns after that.
//!
//! Seen in its source (0.4.2): `Engine::write` -> `WriteBarrier::enter` -> `PipeLog::sync` ->
//! `LogFileWriter::sync` -> `nix::unistd::fdatasync`.
//!
//! It keeps the logs of many raft groups, and indexes of one group have no gaps, so that each
//! producer is a group. An entry is a message that carries its index, as raft's own do. It is used
//! from threads in TiKV. The options are the defaults, but: spare files are written ahead
//! (`prefill_for_recycle`), which is what recycling comes to later anyway; files are purged from
//! 512 MiB, not 10 GiB; and nothing is compressed, because nobody else does.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::{BlockingLog, Entry, MIB, State, spawned, sync_files, threads};
use crate::args::MOST_PRODUCERS;

pub const THREADS: Entry = Entry {
    name: "raft-engine",
    of: Some("raft-engine"),
    how: "a thread and a raft group for each producer, `write(batch of one entry, sync)`; recycled files",
    open: |dir, state| Ok(threads(RaftEngine::open(dir, state)?)),
};

pub const SPAWNED: Entry = Entry {
    name: "raft-engine-spawned",
    of: Some("raft-engine"),
    how: "the same in `spawn_blocking` for each append",
    open: |dir, state| Ok(spawned(RaftEngine::open(dir, state)?)),
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
        let index = self.next[group].fetch_add(1, Ordering::Relaxed);
        let mut entry = BytesValue::new();
        entry.value.reserve_exact(8 + payload.len());
        entry.value.extend_from_slice(&index.to_le_bytes());
        entry.value.extend_from_slice(payload);
        let mut batch = LogBatch::default();
        batch.add_entries::<Indexed>(group as u64 + 1, &[entry])?;
        self.engine.write(&mut batch, sync)?;
        Ok(())
    }
}

impl BlockingLog for RaftEngine {
    fn append(&self, producer: usize, payload: &[u8]) -> Result<()> {
        self.write(producer, payload, true)
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

/// `target_file_size`.
const FILE_MIB: usize = 128;
