//! The archive of a write-ahead log: finished segments in an object store, and directories restored from there.
//!
//! With an [`Archiver`] a log ships each segment when it is finished. Until a segment is in the store the log
//! keeps it, whatever is truncated. An [`Archive`] is what is in the store: it restores a directory up to the
//! end, to a record or to a point in time, and can be verified and pruned. The store is any
//! [`ObjectStore`](object_store::ObjectStore) with conditional puts: S3, GCS, Azure, R2, a local directory,
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
//! // On start, before anything is truncated.
//! let wal = Wal::open(&dir).await?;
//! let archiver = Archiver::start(&wal, &archive, ArchiveOptions::new())?;
//! # wal.append("a record").await?;
//!
//! // On stop: what is in the open segment is shipped as well.
//! wal.rotate().await?;
//! archiver.wait_caught_up().await?;
//! wal.close().await?;
//!
//! // Somewhere else, after a disaster.
//! let restored = archive.restore(&other_dir, RestoreTarget::End).await?;
//! # assert_eq!(restored.end.get(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # What can be lost
//!
//! While the archiver keeps up, a record is in the archive at most [`max_lag`](ArchiveOptions::max_lag) (5
//! minutes) and the time of an upload after it became durable. `docs/archive.md` in the repository says what is
//! in the store, what holds when something fails in between, and how exact times are.
//!
//! # Features
//!
//! - `sim`: restores onto the simulated disk of the log, for tests.
//!
// In reading order: `manifest` is the format of an entry, `sound` whether entries hold and follow each other,
// `objects` the store and the names in it, `ahead` several calls of it at once. A segment goes one way from the
// log to the store: `archiver` is the handle and `shipper` the task, `step` says which segment is next, `lag`
// finishes one in time, `upload` checks it and puts its parts, `manifest_writer` enters it, `held` then lets the
// log have it. `retry` is the only loop that tries again, `times` what was durable when, `status` what is said
// about all this. Back from the store: `manifest_reader` reads what is there, `check` a segment part by part,
// and `restore`, `verify` and `prune` are what can be done with an `archive`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod ahead;
mod archive;
mod archiver;
mod check;
mod error;
mod held;
mod lag;
mod manifest;
mod manifest_reader;
mod manifest_writer;
mod objects;
mod options;
mod prune;
mod race;
mod restore;
mod retry;
mod shipper;
mod sound;
mod status;
mod step;
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
