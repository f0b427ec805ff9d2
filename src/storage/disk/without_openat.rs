//! Directories on systems that have no calls for names relative to an open directory.
//!
//! The absolute path is fixed when the directory is opened. On Windows the directory is kept open
//! in such a way that no process can rename or remove it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::IoFailure;
use crate::format::names;
use crate::storage::access::{Access, DirKey, FileId, LockOwner, SystemLock};
use crate::storage::backend::{Backend, BackendFile, FileInfo, Locator, Mode, Onto, Opening};
use crate::storage::disk::file::DiskFile;
use crate::storage::disk::flock::{LOCK_TABLE, lock_file};
use crate::storage::disk::path::DiskPath;
use crate::storage::disk::random::random;
use crate::storage::lock_table::LockTable;

/// A directory by its path.
pub(super) struct PathDir {
    path: PathBuf,
    _kept_open: Option<File>,
}

impl PathDir {
    pub(super) fn open(path: &Path, shown: &Path, opening: Opening) -> Result<Self, IoFailure> {
        let action = match opening.create {
            true => "create the directory",
            false => "open the directory",
        };
        let fault = |error| IoFailure::new(action, shown, error);
        if opening.create && !path.as_os_str().is_empty() {
            fs::create_dir_all(path).map_err(fault)?;
        }
        Self::of(path).map_err(fault)
    }

    fn of(path: &Path) -> io::Result<Self> {
        // The canonical path, with all links resolved.
        let path = fs::canonicalize(path)?;
        if !path.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            _kept_open: keep_open(&path)?,
            path,
        })
    }
}

impl Backend for PathDir {
    fn locate(&self, path: &Path) -> Arc<dyn Locator> {
        Arc::new(DiskPath::new(path))
    }

    fn key(&self) -> DirKey {
        DirKey::Path(self.path.clone())
    }

    fn lock_table(&self) -> &LockTable {
        &LOCK_TABLE
    }

    fn try_lock(&self, _: Access) -> io::Result<Option<SystemLock>> {
        Ok(None)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn try_lock_file(&self, access: Access) -> io::Result<Option<(SystemLock, Option<FileId>)>> {
        let append = access == Access::Append;
        let opened = OpenOptions::new()
            .read(true)
            .write(append)
            .create(append)
            .truncate(false)
            .open(self.path.join(names::LOCK));
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !append => Ok(None),
            opened => Ok(Some((lock_file(opened?, access)?, None))),
        }
    }

    fn lock_owners(&self) -> Vec<LockOwner> {
        Vec::new()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not Unicode does not belong to the log: no name of the log has the
            // replacement character.
            found.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(found)
    }

    fn look_up(&self, name: &str) -> io::Result<FileInfo> {
        let metadata = fs::symlink_metadata(self.path.join(name))?;
        Ok(FileInfo {
            id: None,
            len: metadata.len(),
        })
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>> {
        let path = self.path.join(name);
        if mode != Mode::Create && !fs::symlink_metadata(&path)?.is_file() {
            return Err(io::Error::other("only regular files are opened"));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(mode != Mode::Read)
            .create_new(mode == Mode::Create)
            .open(path)?;
        Ok(Box::new(DiskFile::new(file, None)))
    }

    fn rename(&self, from: &str, to: &str, onto: Onto) -> io::Result<()> {
        let to = self.path.join(to);
        if onto == Onto::Nothing && fs::symlink_metadata(&to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.path.join(from), to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// Directories cannot be synced. Their entries are as durable as the file system makes them
    /// (`docs/durability.md`, "Assumptions").
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.path.is_dir())
    }

    fn random(&self) -> u64 {
        random()
    }

    #[cfg(feature = "tools")]
    fn open_subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Backend>> {
        let path = self.path.join(name);
        match create.then(|| fs::create_dir(&path)) {
            Some(Err(error)) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Arc::new(Self::of(&path)?)),
        }
    }

    #[cfg(feature = "tools")]
    fn remove_subdir(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    #[cfg(feature = "tools")]
    fn link_from_parent(&self, name: &str, second: &str) -> io::Result<()> {
        let parent = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        fs::hard_link(parent.join(name), self.path.join(second))
    }
}

/// Other processes can write in it, but can neither rename nor remove it.
#[cfg(windows)]
fn keep_open(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_WRITE: u32 = 2;
    OpenOptions::new()
        .read(true)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)
        .map(Some)
}

#[cfg(not(windows))]
fn keep_open(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}
