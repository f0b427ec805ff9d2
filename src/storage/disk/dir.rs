//! A directory that is held open by its descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Mode as Permissions, OFlags, Stat, fstat, fsync, mkdirat, openat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use crate::format::names;
use crate::storage::access::{Access, DirKey, FileId, LockOwner, SystemLock};
use crate::storage::backend::{Backend, BackendFile, FileInfo, Locator, Mode, Onto};
use crate::storage::disk::file::DiskFile;
use crate::storage::disk::flock::{LOCK_TABLE, lock_file};
use crate::storage::disk::path::DiskPath;
use crate::storage::disk::random::random;
use crate::storage::disk::regular;
use crate::storage::lock_table::LockTable;

/// A directory of the machine's file system.
pub(super) struct OpenDir {
    pub(super) descriptor: Arc<OwnedFd>,
    /// The directory in which it was opened, if any.
    #[cfg(feature = "tools")]
    parent: Option<Arc<OwnedFd>>,
    stat: Stat,
    /// Whether it could not be synced when it was opened, and is used nevertheless.
    pub(super) is_never_synced: bool,
}

impl OpenDir {
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            stat: fstat(&descriptor)?,
            descriptor: Arc::new(descriptor),
            #[cfg(feature = "tools")]
            parent: None,
            is_never_synced: false,
        })
    }

    /// Files that root creates get the owner of the directory, because a service that runs as that
    /// user must be able to open them.
    pub(super) fn give(&self, created: impl AsFd) {
        let (owner, group) = (self.stat.st_uid, self.stat.st_gid);
        if owner != 0 && fstat(&created).is_ok_and(|stat| stat.st_uid == 0) {
            // If that is not allowed, as on a remote disk, root stays the owner.
            let _ = std::os::unix::fs::fchown(created, Some(owner), Some(group));
        }
    }

    /// Creates a directory in this one and opens it. Another process may have created it in the
    /// meantime. Returns whether it is new.
    pub(super) fn make_subdir_unsynced(
        &self,
        name: &Path,
        permissions: Permissions,
    ) -> Result<(bool, OwnedFd), Errno> {
        let is_new = match mkdirat(&self.descriptor, name, permissions) {
            Err(Errno::EXIST) => false,
            made => made.map(|()| true)?,
        };
        let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&self.descriptor, name, how, Permissions::empty())?;
        if is_new {
            self.give(&opened);
        }
        Ok((is_new, opened))
    }

    /// Creates a directory in this one durably, and opens it.
    #[cfg(feature = "tools")]
    fn make_subdir(&self, name: &str) -> io::Result<OwnedFd> {
        let (_, made) = self.make_subdir_unsynced(Path::new(name), PRIVATE)?;
        Backend::sync(self)?;
        Ok(made)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let file = regular::create(&self.descriptor, name)?;
        self.give(&file);
        Ok(file)
    }

    /// Opens the lock file. It is created only for appending, because reading changes nothing.
    fn open_lock_file(&self, access: Access) -> io::Result<Option<File>> {
        let how = match access {
            Access::Append => OFlags::RDWR,
            Access::Read => OFlags::RDONLY,
        };
        match (regular::open(&self.descriptor, names::LOCK, how), access) {
            (Ok(file), _) => Ok(Some(file)),
            (Err(error), Access::Append) if error.kind() == io::ErrorKind::NotFound => {
                self.create(names::LOCK).map(Some)
            }
            (Err(error), Access::Read) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            (Err(error), _) => Err(name_lock_file(&error)),
        }
    }

    /// Locks the lock file. `None` if another file has its name by now, so the lock keeps no
    /// process out.
    fn lock_lock_file(
        &self,
        file: File,
        access: Access,
    ) -> io::Result<Option<(SystemLock, FileId)>> {
        let id = regular::id(&fstat(&file)?);
        let held = lock_file(file, access)?;
        let named = regular::look_up(&self.descriptor, names::LOCK);
        let is_named = named.is_ok_and(|stat| regular::id(&stat) == id);
        Ok(is_named.then_some((held, id)))
    }
}

impl Backend for OpenDir {
    fn locate(&self, path: &Path) -> Arc<dyn Locator> {
        Arc::new(DiskPath::new(path))
    }

    fn key(&self) -> DirKey {
        DirKey::Inode(regular::id(&self.stat))
    }

    fn lock_table(&self) -> &LockTable {
        &LOCK_TABLE
    }

    /// Uses an open file description of its own. A lock belongs to a description, so a second lock
    /// through the same one would change the first.
    fn try_lock(&self, access: Access) -> io::Result<Option<SystemLock>> {
        let itself = open_directory(&self.descriptor, ".")?;
        match lock_file(itself.into(), access) {
            Err(error) if cannot_be_locked(&error) => Ok(None),
            locked => locked.map(Some),
        }
    }

    fn is_shared(&self) -> bool {
        is_remote(&self.descriptor)
    }

    fn try_lock_file(&self, access: Access) -> io::Result<Option<(SystemLock, Option<FileId>)>> {
        for _ in 0..LOCK_ROUNDS {
            let file = match self.open_lock_file(access) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            let Some(file) = file else { return Ok(None) };
            if let Some((held, id)) = self.lock_lock_file(file, access)? {
                return Ok(Some((held, Some(id))));
            }
        }
        Err(name_lock_file(&io::Error::other(
            "another file has the name each time it is opened",
        )))
    }

    #[cfg(target_os = "linux")]
    fn lock_owners(&self) -> Vec<LockOwner> {
        use crate::storage::disk::lock_owners;

        let lock = regular::look_up(&self.descriptor, names::LOCK);
        lock_owners::of(&[Some(self.stat), lock.ok()])
    }

    #[cfg(not(target_os = "linux"))]
    fn lock_owners(&self) -> Vec<LockOwner> {
        Vec::new()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor)? {
            // A name that is not Unicode does not belong to the log: no name of the log has the
            // replacement character.
            let name = entry?.file_name().to_string_lossy().into_owned();
            if ![".", ".."].contains(&&*name) {
                found.push(name);
            }
        }
        Ok(found)
    }

    fn look_up(&self, name: &str) -> io::Result<FileInfo> {
        regular::find(&self.descriptor, name)
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>> {
        let file = match mode {
            Mode::Read => regular::open(&self.descriptor, name, OFlags::RDONLY)?,
            Mode::Write => regular::open(&self.descriptor, name, OFlags::RDWR)?,
            Mode::Create => self.create(name)?,
        };
        let id = regular::id(&fstat(&file)?);
        Ok(Box::new(DiskFile::new(file, Some(id))))
    }

    fn rename(&self, from: &str, to: &str, onto: Onto) -> io::Result<()> {
        match onto {
            Onto::Nothing => rename_to_free_name(&self.descriptor, from, to),
            Onto::Anything => rename(&self.descriptor, from, to),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = retry_on_intr(|| unlinkat(&self.descriptor, name, AtFlags::empty()));
        Ok(removed?)
    }

    fn sync(&self) -> io::Result<()> {
        match sync(&self.descriptor) {
            Err(error) if self.is_never_synced && is_no_sync(error) => Ok(()),
            synced => Ok(synced?),
        }
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(fstat(&self.descriptor)?.st_nlink > 0)
    }

    fn random(&self) -> u64 {
        random()
    }

    #[cfg(feature = "tools")]
    fn open_subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Backend>> {
        let opened = match create {
            true => self.make_subdir(name),
            false => open_directory(&self.descriptor, name).map_err(io::Error::from),
        };
        Ok(Arc::new(Self {
            parent: Some(Arc::clone(&self.descriptor)),
            is_never_synced: self.is_never_synced,
            ..Self::new(opened?)?
        }))
    }

    #[cfg(feature = "tools")]
    fn remove_subdir(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.descriptor,
            name,
            AtFlags::REMOVEDIR,
        )?)
    }

    #[cfg(feature = "tools")]
    fn link_from_parent(&self, name: &str, second: &str) -> io::Result<()> {
        let parent = self.parent.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let (here, flags) = (&self.descriptor, AtFlags::empty());
        Ok(rustix::fs::linkat(parent, name, here, second, flags)?)
    }
}

/// Opens a directory in another one, without following a link.
pub(super) fn open_directory(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| openat(&dir, name, how, Permissions::empty()))
}

#[cfg(target_os = "linux")]
pub(super) fn sync(directory: impl AsFd) -> Result<(), Errno> {
    retry_on_intr(|| fsync(&directory))?;
    super::aborted_journal::check(&directory)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(super) fn sync(directory: impl AsFd) -> Result<(), Errno> {
    retry_on_intr(|| fsync(&directory))
}

/// Syncs through the disk's own cache, if the file system supports it.
#[cfg(target_vendor = "apple")]
pub(super) fn sync(directory: impl AsFd) -> Result<(), Errno> {
    match retry_on_intr(|| rustix::fs::fcntl_fullfsync(&directory)) {
        Err(error) if is_no_sync(error) || error == Errno::NOTTY => {
            retry_on_intr(|| fsync(&directory))
        }
        synced => synced,
    }
}

/// Whether a sync failed because the file system does not sync directories. An error of the disk is
/// no such reason, and neither is `EROFS`: ext4 returns it after it has aborted its journal.
pub(super) fn is_no_sync(error: Errno) -> bool {
    let reasons = [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
    reasons.contains(&error)
}

/// The same for a parent directory, which may belong to another user.
pub(super) fn is_no_sync_of_parent(error: Errno) -> bool {
    is_no_sync(error) || [Errno::ROFS, Errno::ACCESS, Errno::PERM].contains(&error)
}

/// Whether a lock failed because the file system does not lock directories.
fn cannot_be_locked(error: &io::Error) -> bool {
    let reasons = [
        Errno::BADF,
        Errno::INVAL,
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::NOLCK,
    ];
    Errno::from_io_error(error).is_some_and(|error| reasons.contains(&error))
}

/// Adds the name of the lock file to the error.
fn name_lock_file(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", names::LOCK))
}

fn rename(dir: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    let renamed = retry_on_intr(|| rustix::fs::renameat(dir, from, dir, to));
    Ok(renamed?)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_to_free_name(dir: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};

    match retry_on_intr(|| renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE)) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => look_and_rename(dir, from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_to_free_name(dir: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    look_and_rename(dir, from, to)
}

/// For systems that cannot do both in one call. Processes that respect the lock do not interfere.
fn look_and_rename(dir: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    match regular::look_up(dir, to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => rename(dir, from, to),
        Err(error) => Err(error),
    }
}

/// Whether other machines may use the directory too. Their locks of files are visible here, but not
/// their locks of directories.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "a magic number has 32 bits, in a field that has more on some machines"
)]
fn is_remote(dir: &OwnedFd) -> bool {
    rustix::fs::fstatfs(dir).map_or(true, |found| REMOTE.contains(&(found.f_type as u32)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_remote(_: &OwnedFd) -> bool {
    true
}

/// NFS, SMB (three numbers), Ceph, 9P, AFS, FUSE, GFS2, OCFS2 and Lustre.
#[cfg(any(target_os = "linux", target_os = "android"))]
const REMOTE: [u32; 11] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x00c3_6400,
    0x0102_1997,
    0x5346_414f,
    0x6573_5546,
    0x0116_1970,
    0x7461_636f,
    0x0bd0_0bd0,
];

/// How often locking is repeated because the lock file was replaced in the meantime. If inode
/// numbers change by themselves, it always looks replaced.
const LOCK_ROUNDS: usize = 10;

/// The directory of a log or a repair is accessible to its owner only.
pub(super) const PRIVATE: Permissions = Permissions::RWXU;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ext4 returns this error after it has aborted its journal. Only the parent of a log's
    /// directory may be on a read-only disk.
    #[test]
    fn regression_a_disk_that_has_become_read_only_is_no_file_system_without_directory_syncs() {
        for error in [Errno::ROFS, Errno::ACCESS, Errno::PERM] {
            assert!(!is_no_sync(error) && is_no_sync_of_parent(error));
        }
        assert!(!is_no_sync_of_parent(Errno::IO));
    }
}
