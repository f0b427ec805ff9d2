//! A log to be measured: opened, and brought to the state after a service's first minutes.

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tidewal::{Durability, SyncPolicy, Wal};
use tokio::runtime::Runtime;

use crate::measure::load::{self, Load};
use crate::measure::scratch::{KIB, MIB, making};
use crate::measure::slice::{Slice, Work};

/// What differs between logs.
#[derive(Clone, Copy)]
pub struct Shape {
    pub policy: SyncPolicy,
    pub segment_len: usize,
    pub busy_poll: Duration,
}

impl Shape {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        policy: SyncPolicy::Always,
        segment_len: 64 * MIB,
        busy_poll: Duration::ZERO,
    };

    /// The defaults, but with `busy_poll`, which is longer than an append takes.
    pub const fn busy_polling(busy_poll: Duration) -> Self {
        Self {
            busy_poll,
            ..Self::DEFAULT
        }
    }
}

pub struct Log {
    wal: Wal,
    dir: TempDir,
    pub segment_len: usize,
}

impl Log {
    /// Opens a log in an empty directory, and fills its first segments, which were not
    /// preallocated.
    pub fn open(runtime: &Runtime, dir: TempDir, shape: Shape) -> Self {
        let options = Wal::options()
            .sync_policy(shape.policy)
            .segment_size(shape.segment_len as u64)
            .busy_poll(shape.busy_poll);
        let making = making();
        let wal = runtime.block_on(options.open(dir.path()));
        drop(making);
        let log = Self {
            wal: wal.expect("an empty directory opens"),
            dir,
            segment_len: shape.segment_len,
        };
        for _ in 0..SEGMENTS_TO_SETTLE {
            log.move_on(runtime);
        }
        log
    }

    /// Rotates and recycles the old segment. The new one then holds one filler record.
    pub fn move_on(&self, runtime: &Runtime) {
        runtime.block_on(async {
            fill_segment(&self.wal).await;
            truncate(&self.wal).await;
        });
    }

    /// Runs a load on the log, and checks it against the log's own counts.
    pub fn run(&self, runtime: &Runtime, load: &Load, time: Duration) -> Slice {
        let before = self.wal.stats();
        let slice = runtime.block_on(load::run(&self.wal, load, time));
        let work = Work::between(&before, &self.wal.stats());
        let slice = slice.with_work(work);
        load.check(&slice);
        runtime.block_on(truncate(&self.wal));
        assert!(self.wal.stats().syncs > before.syncs, "nothing was synced");
        slice
    }

    /// Closes it, and removes its files.
    pub fn close(self, runtime: &Runtime) {
        let Self { wal, dir, .. } = self;
        runtime.block_on(wal.close()).expect("the log closes");
        dir.close().expect("the directory is removed");
    }
}

/// Appends until the log has moved to a new segment.
async fn fill_segment(wal: &Wal) {
    let filler = Bytes::from(vec![0x5a; FILLER_LEN]);
    let opened = wal.stats().segments.max(1);
    while wal.stats().segments <= opened {
        let appended = wal.append_with(filler.clone(), Durability::Written);
        appended.await.expect("the filler is appended");
    }
}

/// Truncates everything that is durable.
async fn truncate(wal: &Wal) {
    let end = wal.sync().await.expect("the log syncs");
    let truncated = wal.truncate_before(end.next()).await;
    truncated.expect("what is durable can be truncated");
}

/// After this many segments, one recycled segment is in use, one is ready as the next one, and one
/// will be ready after it.
const SEGMENTS_TO_SETTLE: usize = 3;

/// The payload size of records that fill segments.
pub const FILLER_LEN: usize = 256 * KIB;
