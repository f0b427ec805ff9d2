//! Receipts: types that prove what was done to a file.
//!
//! An acknowledgment needs a [`Synced`] (or a [`Wrote`] and a [`Present`]), and a [`Synced`] is
//! made only from a [`Present`]: the synced file is still present under its name. A file without a
//! name accepts writes and syncs as long as it is open, and all of them are lost.

use std::io;

use crate::format::names;
use crate::mutants::{Mutant, is_active};
use crate::storage::access::FileId;
use crate::storage::backend::Backend;

/// Receipt: bytes were handed to the operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrote(());

impl Wrote {
    pub(super) fn all() -> Self {
        Self(())
    }
}

/// Receipt: a name still refers to the file that the log opened under it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present(());

impl Present {
    /// Looks up a file by its name. The name must refer to this file, and the file must be at least as long as
    /// before.
    pub(super) fn file(
        dir: &dyn Backend,
        name: &str,
        id: Option<FileId>,
        len: u64,
    ) -> io::Result<Self> {
        if is_active(Mutant::PresenceUnchecked) {
            return Ok(Self(()));
        }
        let found = match dir.look_up(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone(REMOVED)),
            found => found?,
        };
        match () {
            () if found.id != id => Err(gone(REPLACED)),
            () if found.len < len => Err(gone(CUT_SHORT)),
            () => Ok(Self(())),
        }
    }

    /// Checks that the directory itself still exists.
    pub(super) fn directory(dir: &dyn Backend) -> io::Result<Self> {
        match is_active(Mutant::PresenceUnchecked) || dir.is_linked()? {
            true => Ok(Self(())),
            false => Err(gone(REMOVED)),
        }
    }

    /// Checks that `LOCK` is still the locked file, if nothing else keeps other processes out.
    pub(super) fn lock_file(dir: &dyn Backend, locked: FileId) -> io::Result<Self> {
        Self::file(dir, names::LOCK, Some(locked), 0)
    }
}

/// Receipt: a file or directory was synced and is still present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synced(Present);

impl Synced {
    /// For a file or directory that was synced before it was found to be present.
    pub(super) fn and(present: Present) -> Self {
        Self(present)
    }
}

fn gone(how: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, how)
}

const REMOVED: &str = "it was removed or renamed while the log was open";
const REPLACED: &str = "another file took its name while the log was open";
const CUT_SHORT: &str = "it was cut short while the log was open";
