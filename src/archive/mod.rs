//! Complete segments in an object store, and directories restored from there.
//!
//! With an [`Archiver`] a log ships each segment when it is complete; until it is in the store the log
//! keeps it, whatever is truncated. [`restore`] makes a directory of what is there, up to the end, to a
//! record or to a point in time. The store is any [`ObjectStore`](object_store::ObjectStore) that can
//! put on condition: S3, GCS, Azure, R2, a local directory, memory.
//!
//! What is in the store, what holds when something fails in between, and how exact times are, is in
//! `docs/archive.md` in the repository.
//!
//! To ship a log that no service has open, open it, and wait:
//!
//! ```
//! use tidewal::Wal;
//! use tidewal::archive::{ArchiveOptions, Archiver};
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let store = std::sync::Arc::new(object_store::memory::InMemory::new());
//! let wal = Wal::open(dir.path()).await?;
//! let archiver = Archiver::start(&wal, store, "prefix", ArchiveOptions::new())?;
//! archiver.caught_up().await?;
//! wal.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
// In reading order: `manifest` is the format of an entry, `walk` checks a segment's frames, `place` is
// the store and the names in it. Writing: `archiver` is the handle, `shipper` the task, `step` what it
// does next, `ledger` the manifest that it writes, `read` a segment as it is shipped, `times` and
// `retry`. Reading: `history` is a manifest that was read, `restore` fetches, `build` writes the files.

mod archiver;
mod build;
mod error;
mod history;
mod ledger;
mod manifest;
mod options;
mod place;
mod read;
mod restore;
mod retry;
mod shipper;
mod step;
mod times;
mod walk;

pub use crate::archive::archiver::{Archiver, Status};
pub use crate::archive::error::{Error, Result};
pub use crate::archive::history::{Contents, Until};
pub use crate::archive::options::{ArchiveOptions, Overflow};
#[cfg(feature = "sim")]
pub use crate::archive::restore::restore_on;
pub use crate::archive::restore::{Restored, contents, restore, restore_from, verify};
