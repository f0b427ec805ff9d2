//! The writer: one task that owns the log's newest file, and the only one that acknowledges appends.
//!
//! In reading order: [`task`] is the loop, [`batcher`] takes requests out of the queue until a batch is
//! to be written, [`linger`] waits a moment for more of them, [`batch`] is the life of a batch as a chain of
//! types, [`tail`] is where the log ends and how it moves to a new segment, [`segment`] is the file that is
//! being written, [`spares`] has files ready for rotation, which [`preallocator`] makes, [`adopt`] makes a
//! recovered log fit to be continued, [`watch`] looks on while
//! the disk works, for those who want to hear of it. [`unshare`] keeps backups of hard
//! links as they are. (`mend` is what a repair writes.)

mod adopt;
mod batch;
mod batcher;
mod linger;
#[cfg(feature = "tools")]
pub(crate) mod mend;
mod preallocator;
mod segment;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod slow;
mod spares;
mod tail;
mod task;
mod unshare;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod watch;
#[cfg(not(any(feature = "metrics", feature = "tracing")))]
mod watch_noop;
mod write_ahead;

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
use crate::writer::watch_noop as watch;

/// Starts a writer that goes on from what was recovered. Returns once that is durable.
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
