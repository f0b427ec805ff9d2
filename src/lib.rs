//! A write-ahead log for tokio services: await an append, get its LSN once it is on disk.
//!
//! ```
//! use tidewal::Wal;
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path().join("data/wal");
//! // On start: read the log back.
//! let mut recovery = Wal::recover(&dir).await?;
//! while let Some(record) = recovery.try_next().await? {
//!     println!("{}: {} bytes", record.lsn, record.payload.len());
//! }
//! let wal = recovery.into_wal().await?;
//!
//! // From any number of tasks: append.
//! let lsn = wal.append("put answer=42").await?; // Ok: on disk, survives a power cut
//!
//! // After a snapshot of everything up to `lsn`: give space back.
//! wal.truncate_before(lsn.next()).await?;
//! # wal.close().await?;
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//! ```
//!
//! A background writer takes whatever many producers have submitted, and makes it durable with one
//! write and one sync; each caller then gets the LSN of its record. Recovery is a separate stream over
//! the files.
//!
//! # The promise
//!
//! When an append has returned `Ok(lsn)`, every later recovery delivers that record, once, at that LSN,
//! with those bytes, until [`truncate_before`](Wal::truncate_before) passes it: through killed
//! processes, power cuts, full disks, failed syncs, dropped futures and dropped runtimes. What a crash
//! left half written ends the log quietly; damage to a record that was durable is an error that names
//! the place, and never a shorter log. `docs/durability.md` in the repository has the assumptions, and
//! every case by name.
//!
//! # What it does not do
//!
//! It does not replicate, compress, encrypt or index, and it does not read records back while it is
//! open for appending. A log is one directory of one process. A record, and an atomic batch, must fit
//! into one segment.
//!
//! # Cancel safety
//!
//! Every future of this crate can be dropped at any time without harm to other callers. What has
//! happened then is said at each of them, and comes in two kinds:
//!
//! - Until [`Wal::submit`] returns, it is guaranteed that nothing was appended.
//! - After that, dropping the [`PendingAppend`] does not take the record back: only the answer is lost.
//!
//! [`Wal::append`] is the first and then the second; if it is dropped, the record may or may not be
//! appended. Streams lose no item when a future of their next one is dropped.
//!
//! # Executors
//!
//! A handle works from any executor. The log's own work is done on its own threads, named
//! `tidewal-writer`, `tidewal-spares` and, while a log is read, `tidewal-recovery`: a sync never
//! blocks a worker of a runtime, and never waits for a place in its blocking pool.
//!
//! # Stability
//!
//! Before 1.0 a minor version may change the API. The format on disk has a version number of its own;
//! a version of this crate reads every format that an earlier one has written, and says
//! [`Error::Unsupported`] to one that it does not know. The public types of other crates that appear
//! in the API are [`bytes::Bytes`] and [`futures_core::Stream`]; with the features of their names also
//! `futures_sink::Sink`, the traits of serde that a codec asks for, and `object_store`.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `archive`: complete segments are shipped to an object store, and a directory is restored from
//!   there, up to any record or a point in time. Turn it on if the log has to outlive its machine.
//! - `json`, `postcard`: codecs for [`typed`], the log of your own type. Turn on the one whose
//!   format you want in your files; [the module](typed#changing-the-type) says how a type may change
//!   under each. A codec of your own needs no feature.
//! - `serde`: `Serialize` and `Deserialize` for [`Lsn`], which becomes a number. Turn it on to store an
//!   LSN in a snapshot.
//! - `sim`: a simulated disk, to crash-test a service that uses the log. Turn it on in your
//!   `dev-dependencies`.
//! - `sink`: `Wal::sink`, a `futures::Sink` of payloads. Turn it on where a stream is to be forwarded
//!   into the log.
//! - `snapshot`: the module `snapshot`, durable snapshots beside the log. Turn it on if your service writes
//!   snapshots of its state and truncates the log.
//! - `metrics`: what [`Wal::stats`] says, for the recorder of the [`metrics`](https://docs.rs/metrics)
//!   facade. Turn it on if your service has a recorder; install that before the log is opened.
//! - `tracing`: spans and events for [`tracing`](https://docs.rs/tracing): damage, a torn tail, a full
//!   disk, a sync that is slow now. Turn it on if your service has a subscriber for the whole process.
//! - `tools`: the module `tools`, a survey of a log's directory and the repair of a damaged one. Turn it
//!   on to write a tool of your own.
//!
//! With `metrics` or `tracing` an open log has a third thread, `tidewal-watch`, which sleeps while the
//! log is idle. `docs/observability.md` in the repository has the names and what to alert on.

#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[cfg(feature = "archive")]
pub mod archive;
#[cfg(any(feature = "archive", feature = "sim"))]
mod chance;
mod error;
mod few;
mod format;
mod host;
mod lsn;
mod observe;
mod open;
mod options;
mod ordered;
#[cfg(tidewal_planted)]
#[doc(hidden)]
pub mod planted;
#[cfg(not(tidewal_planted))]
mod planted;
mod queue;
mod record;
mod recovered;
mod recovery;
mod retention;
#[cfg(feature = "sink")]
mod sink;
#[cfg(feature = "snapshot")]
pub mod snapshot;
mod stats;
mod storage;
#[cfg(feature = "tools")]
pub mod tools;
pub mod typed;
mod wal;
mod writer;

pub use crate::error::{
    CodecError, Corruption, CorruptionKind, Error, IoFailure, Result, TrySubmitError,
    UnsupportedReason,
};
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
