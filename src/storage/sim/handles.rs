//! The simulated disk as the log sees it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Sleep;

#[cfg(feature = "tools")]
use crate::storage::Dir;
use crate::storage::lock::{self, Access};
use crate::storage::sim::model::{InodeId, Model, On, power_is_off};
use crate::storage::sim::{Operation, SimDisk};
use crate::storage::{Backend, BackendFile, Mode};

/// A directory on a simulated disk, as seen from one life of the machine.
pub(crate) struct SimDir {
    disk: SimDisk,
    path: PathBuf,
    generation: u64,
}

impl SimDir {
    pub(super) fn new(disk: SimDisk, path: PathBuf) -> Self {
        let generation = disk.model().generation;
        Self {
            disk,
            path,
            generation,
        }
    }

    /// One operation: `work` does it. If the power goes meanwhile it fails, though it was done.
    fn perform<T>(
        &self,
        operation: Operation,
        on: On<'_>,
        work: impl FnOnce(&mut Model) -> io::Result<T>,
    ) -> io::Result<T> {
        perform(&self.disk, self.generation, operation, on, work)
    }
}

impl Backend for SimDir {
    fn path(&self) -> &Path {
        &self.path
    }

    /// Making a directory is not part of the model: it is there, durably, at once.
    fn make(&self) -> io::Result<()> {
        self.disk.model().make_dir(&self.path);
        Ok(())
    }

    fn try_lock(&self, access: Access) -> io::Result<Box<dyn Send + Sync>> {
        let mut model = self.disk.model();
        if model.off || model.generation != self.generation {
            return Err(power_is_off());
        }
        model.try_lock(&self.path, access)?;
        let (disk, path) = (self.disk.clone(), self.path.clone());
        Ok(Box::new(Held {
            disk,
            path,
            access,
            generation: self.generation,
        }))
    }

    fn identity(&self) -> io::Result<PathBuf> {
        // Whoever had it open in an earlier life of the machine has it no more.
        Ok(self.path.join(self.generation.to_string()))
    }

    fn lock_table(&self) -> &lock::Table {
        self.disk.locks()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.perform(Operation::List, On::Directory, |model| {
            Ok(model.names(&self.path))
        })
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>> {
        let operation = if mode == Mode::Create {
            Operation::Create
        } else {
            Operation::Open
        };
        let inode = self.perform(operation, On::Name(name), |model| match mode {
            Mode::Create => model.create(&self.path, name),
            Mode::Read | Mode::Write => model.find(&self.path, name),
        })?;
        let (disk, generation) = (self.disk.clone(), self.generation);
        Ok(Box::new(SimFile {
            disk,
            inode,
            generation,
            stall: None,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.perform(Operation::Rename, On::Name(from), |model| {
            model.rename(&self.path, from, to)
        })
    }

    #[cfg(feature = "tools")]
    fn folder(&self, name: &str) -> Dir {
        Dir::new(Self {
            disk: self.disk.clone(),
            path: self.path.join(name),
            generation: self.generation,
        })
    }

    #[cfg(feature = "tools")]
    fn link(&self, name: &str, folder: &str, second: &str) -> io::Result<()> {
        let folder = self.path.join(folder);
        self.perform(Operation::Link, On::Name(name), |model| {
            model.link(&self.path, name, &folder, second)
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.perform(Operation::Remove, On::Name(name), |model| {
            model.remove(&self.path, name)
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut model = self.disk.model();
        if model.begin(self.generation, Operation::SyncDir, On::Directory)? {
            // The power went before the sync was through: what is volatile stays so.
            return Err(power_is_off());
        }
        model.sync_dir(&self.path);
        Ok(())
    }

    fn random(&self) -> u64 {
        self.disk.model().random()
    }
}

/// An open file on a simulated disk.
struct SimFile {
    disk: SimDisk,
    inode: InodeId,
    generation: u64,
    /// The rest of a slow sync.
    stall: Option<Pin<Box<Sleep>>>,
}

impl BackendFile for SimFile {
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
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(model.mishaps.shorten(Operation::Read, count))
        })
    }

    fn write_at(&mut self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let offset = to_index(offset)?;
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        self.perform(Operation::Write, |model| {
            let count = model.mishaps.shorten(Operation::Write, bytes.len());
            model.write(self.inode, offset, &bytes[..count])?;
            Ok(count)
        })
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

    /// Is no operation that can fail or be cut: nothing of it reaches the disk.
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

/// A lock on a simulated directory.
struct Held {
    disk: SimDisk,
    path: PathBuf,
    access: Access,
    generation: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut model = self.disk.model();
        if model.generation == self.generation {
            model.unlock(&self.path, self.access);
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
