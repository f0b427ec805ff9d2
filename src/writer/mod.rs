//! The writer: one task that owns the log's newest file, and the only one that acknowledges appends.
//!
//! In reading order: [`task`] is the loop. [`batcher`] takes requests out of the queue until a
//! batch must be written, and [`linger`] waits briefly for more of them. [`batch`] is the life of a
//! batch as a chain of types. [`tail`] says where the next record goes, [`segment`] is the file
//! that is being written, and [`segments`] adds one (rotation) and cuts the oldest off (truncation).
//! [`statements`] writes seals, links and head marks. [`spares`] has files ready for rotation, which
//! [`preallocator`] makes with [`spare_factory`], or takes from [`retire`], which recycles or removes
//! truncated segments. [`zero_fill`] writes zeros ahead of the records. [`disk_error`] says which failures poison the log. [`adopt`]
//! prepares a recovered log for appending. [`stall_monitor`] watches the writer for stalls.
//! [`unshare`] keeps hard-link backups unchanged. (`repair_ops` is what a repair writes.)

mod adopt;
mod batch;
mod batcher;
mod disk_error;
mod linger;
mod preallocator;
#[cfg(feature = "tools")]
pub(crate) mod repair_ops;
mod retire;
mod segment;
mod segments;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod slow_sync;
mod spare_factory;
mod spares;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod stall_monitor;
#[cfg(not(any(feature = "metrics", feature = "tracing")))]
mod stall_monitor_noop;
mod statements;
mod tail;
mod task;
mod unshare;
mod zero_fill;

use crate::error::Result;
use crate::executor::Executor;
use crate::feed::Publisher;
use crate::options::WalOptions;
use crate::queue::completion::Completion;
use crate::queue::{self, Submitter};
use crate::recovered::Recovered;
use crate::stats::counters::Counters;
use crate::storage::{Dir, Lock};
#[cfg(not(any(feature = "metrics", feature = "tracing")))]
use crate::writer::stall_monitor_noop as stall_monitor;

/// Starts a writer that continues a recovered log. Returns once what was recovered is durable.
pub(crate) async fn start(
    dir: Dir,
    executor: Executor,
    options: &WalOptions,
    recovered: Recovered,
    lock: Lock,
    feed: Publisher,
) -> Result<Submitter> {
    let counters = Counters::new(executor.now(), &options.label_for(dir.path()));
    let (bytes, records) = (options.queue_bytes, options.queue_records);
    let (submitter, inbox) = queue::channel(bytes, records, recovered.end, executor, counters);
    let (ready, is_ready) = Completion::new();
    let path = dir.path().to_owned();
    let writer = task::run(
        dir,
        executor,
        options.clone(),
        recovered,
        lock,
        (inbox, feed),
        ready,
    );
    executor.run("tidewal-writer", &path, writer)?;
    is_ready.await?;
    Ok(submitter)
}
