//! The archive of a write-ahead log: it ships finished segments to an object store and restores directories from
//! there.
//!
//! An [`Archiver`] ships each segment of a log once the segment is finished. The log keeps a segment until it is in
//! the store, even if it is truncated. An [`Archive`] is the contents of the store. It restores a directory up to
//! the end, to a record or to a point in time, and it can be verified and pruned. The store is any
//! [`ObjectStore`](object_store::ObjectStore) with conditional puts: S3, GCS, Azure, R2, a local directory, or
//! memory.
//!
//! ```
//! use std::sync::Arc;
//! use tidewal::Wal;
//! use tidewal_archive::{Archive, ArchiveOptions, Archiver, RestoreTarget};
//!
//! # tokio_test::block_on(async {
//! # let scratch = tempfile::tempdir().unwrap();
//! # let (dir, other_dir) = (scratch.path().join("wal"), scratch.path().join("restored"));
//! # let store = Arc::new(object_store::memory::InMemory::new());
//! let archive = Archive::new(store, "prod/orders");
//!
//! // On start: before anything is truncated.
//! let wal = Wal::open(&dir).await?;
//! let archiver = Archiver::start(&wal, &archive, ArchiveOptions::new())?;
//! # wal.append("a record").await?;
//!
//! // On stop: ship the records of the open segment too.
//! wal.rotate().await?;
//! archiver.wait_caught_up().await?;
//! wal.close().await?;
//!
//! // On another machine, after a disaster.
//! let restored = archive.restore(&other_dir, RestoreTarget::End).await?;
//! # assert_eq!(restored.end.get(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # What can be lost
//!
//! While the archiver keeps up, a record is in the archive at most [`max_lag`](ArchiveOptions::max_lag) (5
//! minutes) plus the time of one upload after it became durable. `docs/archive.md` in the repository describes the
//! objects in the store, what holds after a failure, and how exact times are.
//!
//! # Features
//!
//! - `sim`: restores onto the simulated disk of the log, for tests.
//!
// In reading order:
//
// - `manifest` is the format of an entry, and `entry_checks` checks that an entry is consistent and follows the one
//   before it. `objects` is the store and the names in it. `concurrent` runs several calls of the store at once, and
//   `race` waits for the first of two.
// - From the log to the store: `archiver` is the handle and `shipper` the task. `next_action` decides which segment is
//   next, `lag` finishes a segment in time, `upload` checks it and puts its parts, `manifest_writer` enters it,
//   and `archive_hold` then lets the log remove it. `retry` is the loop that retries calls of the store, `times` records what was
//   durable when, and `status` reports how the archiver is doing.
// - From the store to a directory: `newest` finds the last entry, `manifest_reader` reads the manifest and `segment_check` a segment, part by part.
//   `restore`, `verify` and `prune` are the operations of an `archive`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod archive;
mod archive_hold;
mod archiver;
mod concurrent;
mod entry_checks;
mod error;
mod lag;
mod manifest;
mod manifest_reader;
mod manifest_writer;
mod newest;
mod next_action;
mod objects;
mod options;
mod prune;
mod race;
mod restore;
mod retry;
mod segment_check;
mod shipper;
mod status;
mod times;
mod upload;
mod verify;

pub use crate::archive::Archive;
pub use crate::archiver::Archiver;
pub use crate::error::{Error, Result};
pub use crate::manifest_reader::{BadObject, Contents, RestoreTarget};
pub use crate::options::{ArchiveOptions, Overflow};
pub use crate::prune::Pruned;
pub use crate::restore::Restored;
pub use crate::status::Status;
pub use crate::verify::Verified;
