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
//! archiver.wait_caught_up().await?;
//! wal.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
// In reading order: `manifest` is the format of an entry, `sound` whether entries hold and follow each
// other, `walk` checks a segment's frames, `objects` is the store and the names in it, `ahead` several
// calls of it at once. Writing: `archiver` is the handle and `status` what it says, `shipper` the task,
// `step` what it does next, `manifest_writer` the manifest that it writes, `upload` and `read` a segment on
// its way, `hold` what the log keeps meanwhile, `times` and `retry`. Reading: `history` is a manifest that
// was read, `check` a segment that comes back, `verify`, `restore` and `build`, which writes the files.
// `prune` makes an archive smaller.

mod ahead;
mod archiver;
mod build;
mod check;
mod error;
mod history;
mod hold;
mod manifest;
mod manifest_writer;
mod objects;
mod options;
mod prune;
mod read;
mod restore;
mod retry;
mod shipper;
mod sound;
mod status;
mod step;
mod times;
mod upload;
mod verify;
mod walk;

pub use crate::archive::archiver::Archiver;
pub use crate::archive::error::{Error, Result};
pub use crate::archive::history::{BadObject, Contents, RestoreTarget};
pub use crate::archive::options::{ArchiveOptions, Overflow};
pub use crate::archive::prune::{Pruned, prune};
#[cfg(feature = "sim")]
pub use crate::archive::restore::restore_on;
pub use crate::archive::restore::{Restored, restore, restore_from};
pub use crate::archive::status::Status;
pub use crate::archive::verify::{Verified, check_manifest, contents, verify};
