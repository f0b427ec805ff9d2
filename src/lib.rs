//! A write-ahead log for tokio services: await an append, get its LSN once it is on disk.
//!
//! ```
//! use tidewal::{Lsn, Wal};
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path().join("data/wal");
//! # let snapshot: Option<Lsn> = None;
//! // On start: read back what the snapshot does not hold.
//! let first = snapshot.map_or(Lsn::FIRST, Lsn::next);
//! let mut recovery = Wal::options().start_at(first).recover(&dir).await?;
//! while let Some(record) = recovery.try_next().await? {
//!     println!("{}: {} bytes", record.lsn, record.payload.len());
//! }
//! let wal = recovery.into_wal().await?;
//!
//! // From any number of tasks: append.
//! let lsn = wal.append("put answer=42").await?; // Ok: on disk, survives a power cut
//!
//! // Once a snapshot of every record up to `lsn` is durable: free the segments that it covers.
//! wal.truncate_before(lsn.next()).await?;
//! # wal.close().await?;
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//! ```
//!
//! Appends return in any order. Tasks that apply their records to one state must apply them in the order of
//! their LSNs: a snapshot at `lsn` must hold every record up to `lsn`, not only those whose append has
//! returned. [`submit`](Wal::submit) under a lock gives that order, and the package `tidewal-state` does all of
//! this.
//!
//! A background writer batches concurrent appends: one write and one fsync per batch (group
//! commit). Each caller gets the LSN of its record. Recovery is a separate stream over the files.
//!
//! # The promise
//!
//! If an append returned `Ok(lsn)`, every later recovery delivers that record exactly once, at that
//! LSN and with the same bytes, until [`truncate_before`](Wal::truncate_before) is called with a
//! higher LSN. This holds through killed processes, power cuts, full disks, failed syncs, dropped
//! futures and dropped runtimes. A torn tail that a crash left ends the log quietly. Damage to a
//! durable record is an error that names the place, and never a shorter log. The file
//! `docs/durability.md` of the repository has the assumptions and every case of recovery.
//!
//! # What it does not do
//!
//! It does not replicate, compress, encrypt or index. An open log can be followed in order
//! ([`Wal::follow`]), but not read by key. A log is one directory of one process. A record or an atomic
//! batch must fit into one segment.
//!
//! # Cancel safety
//!
//! Every future of this crate can be dropped at any time without harm to other callers. The
//! documentation of each one says what a dropped future leaves behind, which is one of two cases:
//!
//! - Until [`Wal::submit`] returns, it is guaranteed that nothing was appended.
//! - After that, dropping the [`PendingAppend`] does not take the record back: only the answer is lost.
//!
//! [`Wal::append`] combines the two, so if it is dropped, the record may or may not be appended.
//! Streams lose no item if the future of their next item is dropped.
//!
//! # Executors
//!
//! A handle works from any executor. The log does its own work on its own threads, named
//! `tidewal-writer` and `tidewal-spares`, with `tidewal-recovery`, `tidewal-follow`, `tidewal-backup`,
//! `tidewal-import` and `tidewal-snapshot` while there is such work. A sync never blocks a worker thread of a runtime,
//! and never waits for a place in its blocking pool.
//!
//! # Stability
//!
//! Before 1.0, a minor version may change the API. The format on disk has its own version number. A
//! version of this crate reads every format that an earlier version has written, and returns
//! [`Error::Unsupported`] for a format that it does not know. These public types of other crates
//! appear in the API: [`bytes::Bytes`] and [`futures_core::Stream`], and with the features of these
//! names `futures_sink::Sink` and the traits of serde that a codec needs.
//!
//! # Features
//!
//! No feature is on by default.
//!
//! - `import`: the module `import`, which checks the bytes of segments and makes a log of them. For
//!   restoring what was shipped.
//! - `json`, `postcard`: codecs for [`typed`], the log of your own type. Turn on the one whose
//!   format you want in your files. [The module](typed#changing-the-type) says how a type may
//!   change under each. A codec of your own needs no feature.
//! - `serde`: `Serialize` and `Deserialize` for [`Lsn`], as its number. For an LSN that is stored
//!   in a snapshot.
//! - `sim`: a simulated disk, to crash-test a service that uses the log. Turn it on in your
//!   `dev-dependencies`.
//! - `sink`: `Wal::sink`, a `futures::Sink` of payloads. For forwarding a stream into the log.
//! - `snapshot`: the module `snapshot`, durable snapshots beside the log. For a service that writes snapshots
//!   of its state and truncates the log.
//! - `metrics`: the figures of [`Wal::stats`] for the recorder of the
//!   [`metrics`](https://docs.rs/metrics) facade. Install the recorder before the log is opened.
//! - `tracing`: spans and events for [`tracing`](https://docs.rs/tracing): damage, a torn tail, a
//!   full disk, a running sync that is slow. Install the subscriber for the whole process.
//! - `tools`: the module `tools`, which surveys a log's directory and repairs a damaged log. For
//!   writing a tool of your own.
//!
//! With `metrics` or `tracing`, an open log has another thread, `tidewal-watch`, which sleeps while
//! the log is idle. The file `docs/observability.md` of the repository has the names of the metrics
//! and what to alert on.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod backup;
mod environment;
mod error;
mod executor;
mod feed;
mod follow;
mod format;
mod hold;
#[cfg(feature = "import")]
pub mod import;
mod lsn;
#[cfg(tidewal_mutants)]
#[doc(hidden)]
pub mod mutants;
#[cfg(not(tidewal_mutants))]
mod mutants;
mod observe;
mod open;
mod options;
mod ordered;
mod queue;
mod record;
mod recovered;
mod recovery;
mod retention;
#[cfg(feature = "sim")]
mod rng;
#[cfg(feature = "sink")]
mod sink;
mod small_deque;
#[cfg(feature = "snapshot")]
pub mod snapshot;
mod stats;
mod storage;
#[cfg(feature = "tools")]
pub mod tools;
pub mod typed;
mod unfinished_dir;
mod wakers;
mod wal;
mod writer;

pub use crate::error::{
    CodecError, Corruption, CorruptionKind, Error, IoFailure, Result, TrySubmitError,
    UnsupportedReason,
};
pub use crate::follow::{
    FinishedSegment, FinishedSegments, Follower, SegmentBytes, SegmentList, Segments,
};
pub use crate::format::segment::{Header as SegmentHeader, Predecessor as SegmentEnd};
pub use crate::hold::{Hold, HoldInfo, HoldOptions, HoldOverflow};
pub use crate::lsn::Lsn;
pub use crate::options::{Durability, SyncPolicy, WalOptions};
pub use crate::ordered::OrderedAppender;
pub use crate::record::Record;
pub use crate::recovery::{Reader, Recovery, RecoveryReport, TornTail, TornTailReason};
#[cfg(feature = "sink")]
pub use crate::sink::WalSink;
pub use crate::stats::{FlushCause, Flushes, Histogram, Stats};
#[cfg(feature = "sim")]
pub use crate::storage::sim;
pub use crate::wal::{DurableLsns, PendingAppend, PendingBatch, Wal};
