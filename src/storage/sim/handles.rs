//! The simulated disk as the log sees it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Sleep;

use crate::error::IoFailure;
use crate::format::{HEADER_BLOCK_LEN, names};
use crate::storage::access::{Access, DirKey, FileId, LockOwner, SystemLock};
use crate::storage::backend::{Backend, BackendFile, FileInfo, Locator, Mode, Onto, Opening};
use crate::storage::dir::Location;
use crate::storage::lock_table::LockTable;
use crate::storage::sim::changes::{DirId, InodeId};
use crate::storage::sim::locks::Lockable;
use crate::storage::sim::model::{Model, On, power_is_off};
use crate::storage::sim::{Operation, SimDisk};

impl SimDisk {
    pub(crate) fn location(&self, path: impl Into<PathBuf>) -> Location {
        Location::new(SimPath::new(self.clone(), path.into()))
    }
}

/// A path on a simulated disk, as seen from one life of the machine.
struct SimPath {
    disk: SimDisk,
    path: PathBuf,
    generation: u64,
}

impl SimPath {
    fn new(disk: SimDisk, path: PathBuf) -> Self {
        let generation = disk.model().generation;
        Self {
            disk,
            path,
            generation,
        }
    }
}

impl Locator for SimPath {
    fn path(&self) -> &Path {
        &self.path
    }

    /// Creating a directory is not modeled: the directory exists, durably, at once.
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, IoFailure> {
        let mut model = self.disk.model();
        let dir = match opening.create {
            true => model.make_dir(&self.path),
            false => model
                .find_dir(&self.path)
                .map_err(|error| IoFailure::new("open the directory", &self.path, error))?,
        };
        Ok(Arc::new(SimDir {
            disk: self.disk.clone(),
            dir,
            #[cfg(feature = "tools")]
            parent: None,
            generation: self.generation,
        }))
    }
}

/// A directory on a simulated disk, as seen from one life of the machine.
struct SimDir {
    disk: SimDisk,
    dir: DirId,
    /// The directory in which it was opened, if any.
    #[cfg(feature = "tools")]
    parent: Option<DirId>,
    generation: u64,
}

impl SimDir {
    /// Performs one operation, which is `work`. If the power is cut in the meantime, it fails
    /// although it was done.
    fn perform<T>(
        &self,
        operation: Operation,
        on: On<'_>,
        work: impl FnOnce(&mut Model) -> io::Result<T>,
    ) -> io::Result<T> {
        perform(&self.disk, self.generation, operation, on, work)
    }

    /// A look at the disk that does not count as an operation: it changes nothing, and no planned
    /// failure applies to it.
    fn look<T>(&self, look: impl FnOnce(&mut Model) -> io::Result<T>) -> io::Result<T> {
        let mut model = self.disk.model();
        if model.off || model.generation != self.generation {
            return Err(power_is_off());
        }
        look(&mut model)
    }

    #[cfg(feature = "tools")]
    fn path_of_subdir(&self, name: &str) -> io::Result<PathBuf> {
        let model = self.disk.model();
        let path = model.path_of(self.dir).ok_or(io::ErrorKind::NotFound)?;
        Ok(path.join(name))
    }

    fn lock(&self, what: Lockable, access: Access) -> io::Result<SystemLock> {
        self.look(|model| model.try_lock(what, access))?;
        Ok(Box::new(HeldLock {
            disk: self.disk.clone(),
            what,
            access,
            generation: self.generation,
        }))
    }

    fn id(&self, inode: usize) -> FileId {
        FileId {
            device: self.generation,
            inode: inode as u64,
        }
    }
}

impl Backend for SimDir {
    fn locate(&self, path: &Path) -> Arc<dyn Locator> {
        Arc::new(SimPath::new(self.disk.clone(), path.into()))
    }

    fn key(&self) -> DirKey {
        // A handle from an earlier life of the machine is no longer valid.
        DirKey::Inode(self.id(self.dir))
    }

    fn lock_table(&self) -> &LockTable {
        self.disk.locks()
    }

    fn try_lock(&self, access: Access) -> io::Result<Option<SystemLock>> {
        if !self.look(|model| Ok(model.locks_directories))? {
            return Ok(None);
        }
        self.lock(Lockable::Directory(self.dir), access).map(Some)
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn try_lock_file(&self, access: Access) -> io::Result<Option<(SystemLock, Option<FileId>)>> {
        match self.look(|model| Ok(model.lock_file(self.dir, access)))? {
            Some(file) => {
                let held = self.lock(file, access)?;
                let found = self.look_up(names::LOCK)?;
                Ok(Some((held, found.id)))
            }
            None => Ok(None),
        }
    }

    fn lock_owners(&self) -> Vec<LockOwner> {
        Vec::new()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.perform(Operation::List, On::Directory, |model| {
            Ok(model.names(self.dir))
        })
    }

    fn look_up(&self, name: &str) -> io::Result<FileInfo> {
        self.look(|model| {
            if name == names::LOCK {
                let id = model.lock_file_id(self.dir)?;
                return Ok(FileInfo {
                    id: Some(self.id(id)),
                    len: 0,
                });
            }
            let inode = model.find(self.dir, name)?;
            Ok(FileInfo {
                id: Some(self.id(inode)),
                len: model.live(inode).len() as u64,
            })
        })
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>> {
        let operation = if mode == Mode::Create {
            Operation::Create
        } else {
            Operation::Open
        };
        let inode = self.perform(operation, On::Name(name), |model| match mode {
            Mode::Create => model.create(self.dir, name),
            Mode::Read | Mode::Write => model.find(self.dir, name),
        })?;
        Ok(Box::new(SimFile {
            disk: self.disk.clone(),
            inode,
            id: self.id(inode),
            generation: self.generation,
            stall: None,
            appends: false,
        }))
    }

    fn rename(&self, from: &str, to: &str, onto: Onto) -> io::Result<()> {
        self.perform(Operation::Rename, On::Name(from), |model| {
            model.rename(self.dir, from, to, onto)?;
            model.faults.fail_late(from)
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.perform(Operation::Remove, On::Name(name), |model| {
            model.remove(self.dir, name)
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut model = self.disk.model();
        match model.begin(self.generation, Operation::SyncDir, On::Directory) {
            Ok(false) => {
                model.sync_dir(self.dir);
                Ok(())
            }
            // The power was cut before the sync completed, so volatile changes stay volatile.
            Ok(true) => Err(power_is_off()),
            Err(error) => {
                if !model.off {
                    model.forget_names(self.dir);
                }
                Err(error)
            }
        }
    }

    fn is_linked(&self) -> io::Result<bool> {
        self.look(|model| Ok(model.path_of(self.dir).is_some()))
    }

    fn random(&self) -> u64 {
        self.disk.model().random()
    }

    #[cfg(feature = "tools")]
    fn open_subdir(&self, name: &str, create: bool) -> io::Result<Arc<dyn Backend>> {
        let path = self.path_of_subdir(name)?;
        let dir = match create {
            true => self.look(|model| Ok(model.make_dir(&path)))?,
            false => self.disk.model().find_dir(&path)?,
        };
        if create {
            self.sync()?;
        }
        Ok(Arc::new(Self {
            disk: self.disk.clone(),
            dir,
            parent: Some(self.dir),
            generation: self.generation,
        }))
    }

    #[cfg(feature = "tools")]
    fn remove_subdir(&self, name: &str) -> io::Result<()> {
        let path = self.path_of_subdir(name)?;
        self.look(|model| model.remove_empty_dir(&path))
    }

    #[cfg(feature = "tools")]
    fn link_from_parent(&self, name: &str, second: &str) -> io::Result<()> {
        let parent = self.parent.ok_or(io::ErrorKind::NotFound)?;
        self.perform(Operation::Link, On::Name(name), |model| {
            model.link(parent, name, self.dir, second)
        })
    }
}

/// An open file on a simulated disk.
struct SimFile {
    disk: SimDisk,
    inode: InodeId,
    id: FileId,
    generation: u64,
    /// The remaining time of a slow sync.
    stall: Option<Pin<Box<Sleep>>>,
    /// Whether records were written through this handle.
    appends: bool,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut model = self.disk.model();
        if self.appends
            && model.generation == self.generation
            && let Some(files) = &mut model.appended
        {
            files.remove(&self.inode);
        }
    }
}

impl BackendFile for SimFile {
    fn id(&self) -> Option<FileId> {
        Some(self.id)
    }

    fn links(&self) -> io::Result<u64> {
        Ok(self.disk.model().links(self.inode) as u64)
    }

    fn len(&self) -> io::Result<u64> {
        self.perform(Operation::Read, |model| {
            Ok(model.live(self.inode).len() as u64)
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = to_index(offset)?;
        self.perform(Operation::Read, |model| {
            let rest = model.live(self.inode).get(offset..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            let count = model.readable(self.inode, offset..offset + count)?;
            if !self.appends {
                model.check_read(self.inode, offset + count)?;
            }
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(model.faults.shorten(Operation::Read, count))
        })
    }

    fn write_at(&mut self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let offset = to_index(offset)?;
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        let count = self.perform(Operation::Write, |model| {
            let count = model.faults.shorten(Operation::Write, bytes.len());
            let count = model.writable(self.inode, offset..offset + count)?;
            model.write(self.inode, offset, &bytes[..count])?;
            Ok(count)
        })?;
        if offset >= HEADER_BLOCK_LEN {
            self.appends = true;
            if let Some(files) = &mut self.disk.model().appended {
                files.insert(self.inode);
            }
        }
        Ok(count)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        let len = to_index(len)?;
        self.perform(Operation::Allocate, |model| model.grow(self.inode, len))
    }

    fn release(&mut self, offset: u64) -> io::Result<()> {
        let offset = to_index(offset)?;
        self.perform(Operation::Allocate, |model| {
            model.clear(self.inode, offset);
            Ok(())
        })
    }

    #[cfg(feature = "tools")]
    fn shorten(&mut self, len: u64) -> io::Result<()> {
        let len = to_index(len)?;
        self.perform(Operation::Allocate, |model| {
            model.shorten(self.inode, len);
            Ok(())
        })
    }

    /// Not an operation that can fail or at which the power can be cut: it changes nothing on the
    /// disk.
    #[cfg(tidewal_mutants)]
    fn evict(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let (offset, len) = (to_index(offset)?, to_index(len)?);
        self.disk.model().evict(self.inode, offset, len);
        Ok(())
    }

    fn poll_sync(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stall.is_none() {
            let time = self.disk.model().time_of_sync();
            self.stall = (!time.is_zero()).then(|| Box::pin(tokio::time::sleep(time)));
        }
        if let Some(stall) = &mut self.stall {
            ready!(stall.as_mut().poll(context));
            self.stall = None;
        }
        Poll::Ready(self.finish_sync())
    }
}

impl SimFile {
    fn perform<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&mut Model) -> io::Result<T>,
    ) -> io::Result<T> {
        let on = On::File(self.inode);
        perform(&self.disk, self.generation, operation, on, work)
    }

    fn finish_sync(&self) -> io::Result<()> {
        let mut model = self.disk.model();
        match model.begin(self.generation, Operation::Sync, On::File(self.inode)) {
            Ok(false) => {
                model.sync(self.inode);
                Ok(())
            }
            Ok(true) => Err(power_is_off()),
            Err(error) => {
                if !model.off {
                    model.forget(self.inode);
                }
                Err(error)
            }
        }
    }
}

/// A lock on a simulated directory, or on its lock file.
struct HeldLock {
    disk: SimDisk,
    what: Lockable,
    access: Access,
    generation: u64,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut model = self.disk.model();
        if model.generation == self.generation {
            model.unlock(self.what, self.access);
        }
    }
}

fn perform<T>(
    disk: &SimDisk,
    generation: u64,
    operation: Operation,
    on: On<'_>,
    work: impl FnOnce(&mut Model) -> io::Result<T>,
) -> io::Result<T> {
    let mut model = disk.model();
    let power_went = model.begin(generation, operation, on)?;
    let done = work(&mut model)?;
    if power_went {
        Err(power_is_off())
    } else {
        Ok(done)
    }
}

fn to_index(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(io::Error::other)
}
