//! Opening a directory by its path, and creating it durably if it is missing.

use std::io;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Mode, OFlags, open as open_path, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::IoFailure;
use crate::storage::access::Access;
use crate::storage::backend::Opening;
use crate::storage::disk::dir::{
    OpenDir, PRIVATE, is_no_sync, is_no_sync_of_parent, open_directory, sync,
};

/// Opens the directory at a path. Messages use the path `shown`.
pub(super) fn open(path: &Path, shown: &Path, opening: Opening) -> Result<OpenDir, IoFailure> {
    if !opening.create {
        let opened = open_existing(path);
        let dir = opened.map_err(|error| IoFailure::new("open the directory", shown, error))?;
        return check_syncable(dir, shown, opening);
    }
    let made = make(path, opening, PRIVATE);
    let dir = made.map_err(|failure| match failure {
        MakeError::Unsynced(fault) => fault,
        MakeError::Other(error) => IoFailure::new("create the directory", shown, error),
    })?;
    check_syncable(dir, shown, opening)
}

/// A directory that cannot be synced is reported at once, not after the recovery.
fn check_syncable(mut dir: OpenDir, shown: &Path, opening: Opening) -> Result<OpenDir, IoFailure> {
    if opening.access == Access::Read {
        return Ok(dir);
    }
    match sync(&dir.descriptor) {
        Ok(()) => Ok(dir),
        Err(error) if opening.allow_unsynced && is_no_sync(error) => {
            dir.is_never_synced = true;
            Ok(dir)
        }
        Err(error) => Err(IoFailure::new("sync the directory", shown, error.into())),
    }
}

enum MakeError {
    /// A directory was created, and may be missing after a power cut.
    Unsynced(IoFailure),
    Other(io::Error),
}

impl From<io::Error> for MakeError {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Errno> for MakeError {
    fn from(error: Errno) -> Self {
        Self::Other(error.into())
    }
}

/// Creates one level at a time, each durable before the next. So at most the deepest existing level
/// can be one that an earlier attempt created and did not sync.
fn make(path: &Path, opening: Opening, permissions: Mode) -> Result<OpenDir, MakeError> {
    match open_existing(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => {
            let dir = opened?;
            sync_parent(&dir)?;
            return Ok(dir);
        }
    }
    let parent_path = path.parent().ok_or(Errno::NOENT)?;
    let parent = make(parent_path, opening, PARENT)?;
    let Some(Component::Normal(name)) = path.components().next_back() else {
        return Ok(open_existing(path)?);
    };
    let (is_new, made) = parent.make_subdir_unsynced(Path::new(name), permissions)?;
    match sync(&parent.descriptor) {
        Err(error) if !(opening.allow_unsynced && is_no_sync_of_parent(error)) => {
            if is_new {
                // Otherwise the next attempt would take it for a durable one.
                let _ = unlinkat(&parent.descriptor, name, AtFlags::REMOVEDIR);
            }
            let fault = IoFailure::new("sync the directory", parent_path, error.into());
            Err(MakeError::Unsynced(fault))
        }
        _ => Ok(OpenDir::new(made)?),
    }
}

fn open_existing(path: &Path) -> io::Result<OpenDir> {
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| open_path(path, how, Mode::empty()))?;
    OpenDir::new(opened)
}

/// If a parent directory cannot be synced at all, the durability of a directory that existed before
/// is the concern of the program that created it.
fn sync_parent(dir: &OpenDir) -> Result<(), Errno> {
    let synced = open_directory(&dir.descriptor, "..").and_then(sync);
    match synced {
        Err(error) if !is_no_sync_of_parent(error) => Err(error),
        _ => Ok(()),
    }
}

/// The process's umask reduces this.
const PARENT: Mode = Mode::from_raw_mode(0o777);
