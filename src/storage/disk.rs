//! The disk of the machine: the only user of `std::fs`.

use std::collections::hash_map::RandomState;
use std::fs::{self, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use crate::format::names;
#[cfg(feature = "tools")]
use crate::storage::Dir;
use crate::storage::lock::{self, Access};
use crate::storage::{Backend, BackendFile, Mode};

/// A directory of the machine's file system.
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Backend for Disk {
    fn path(&self) -> &Path {
        &self.path
    }

    /// One level at a time, each durable before the next: then only the deepest level that exists can
    /// be one that an earlier attempt made and did not get to sync.
    fn make(&self) -> io::Result<()> {
        let missing = missing_directories(&self.path);
        let existing = missing
            .first()
            .map_or(self.path.as_path(), |outermost| parent_of(outermost));
        match sync_directory(parent_of(existing)) {
            // What was there before and cannot be read is somebody else's concern.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
        for path in &missing {
            create_directory(path)?;
            sync_directory(parent_of(path))?;
        }
        if self.path.is_dir() {
            Ok(())
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    fn try_lock(&self, access: Access) -> io::Result<Box<dyn Send + Sync>> {
        let file = match open_lock_file(&self.path.join(names::LOCK), access) {
            // Nobody ever appended here, or it is a copy. There is nothing to lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.is_dir() => {
                return Ok(Box::new(()));
            }
            opened => opened?,
        };
        let locked = match access {
            Access::Append => file.try_lock(),
            Access::Read => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => Ok(Box::new(HeldLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn identity(&self) -> io::Result<PathBuf> {
        fs::canonicalize(&self.path)
    }

    fn lock_table(&self) -> &lock::Table {
        static TABLE: lock::Table = lock::Table::new();
        &TABLE
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not Unicode is not ours.
            found.extend(entry?.file_name().into_string().ok());
        }
        Ok(found)
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn BackendFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(mode != Mode::Read)
            .create_new(mode == Mode::Create)
            .open(self.path.join(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    #[cfg(feature = "tools")]
    fn folder(&self, name: &str) -> Dir {
        Dir::new(Self::new(&self.path.join(name)))
    }

    #[cfg(feature = "tools")]
    fn link(&self, name: &str, folder: &str, second: &str) -> io::Result<()> {
        fs::hard_link(self.path.join(name), self.path.join(folder).join(second))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    fn random(&self) -> u64 {
        // The standard library seeds each `RandomState` from the system's source of randomness and
        // then counts on; hashing the time as well keeps two calls apart across processes.
        let mut hasher = RandomState::new().build_hasher();
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        hasher.write_u128(since_epoch.map_or(0, |elapsed| elapsed.as_nanos()));
        hasher.write_u32(std::process::id());
        hasher.finish()
    }
}

struct DiskFile(fs::File);

impl BackendFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset)
    }

    fn write_at(&mut self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        write(&self.0, pieces, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        match reserve(&self.0, len) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.extend_with_zeros(len),
            reserved => reserved,
        }
    }

    fn release(&mut self, offset: u64) -> io::Result<()> {
        let len = self.len()?;
        if offset < len {
            punch(&self.0, offset, len - offset)
        } else {
            Ok(())
        }
    }

    fn evict(&mut self, offset: u64, len: u64) -> io::Result<()> {
        evict(&self.0, offset, len)
    }

    /// `sync_data` is enough: it includes the file's length and the place of its blocks, and leaves
    /// out only times. On macOS the standard library makes it a full flush of the drive.
    fn poll_sync(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.sync_data())
    }
}

impl DiskFile {
    /// Takes space the slow way, where the file system cannot reserve it.
    fn extend_with_zeros(&mut self, len: u64) -> io::Result<()> {
        let zeros = vec![0; 64 * 1024];
        let mut at = self.len()?;
        while at < len {
            let piece = zeros
                .len()
                .min(usize::try_from(len - at).unwrap_or(usize::MAX));
            match self.write_at(&[IoSlice::new(&zeros[..piece])], at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => at += written as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The lock file while it is locked.
struct HeldLock(fs::File);

impl Drop for HeldLock {
    /// Closing the file would not do: a process that is being started holds a copy of it for a moment.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Opens the lock file. Only who means to append creates it; reading changes nothing.
fn open_lock_file(path: &Path, access: Access) -> io::Result<fs::File> {
    let append = access == Access::Append;
    OpenOptions::new()
        .read(true)
        .write(append)
        .create(append)
        .truncate(false)
        .open(path)
}

/// The directories that would have to be created for `path` to exist, outermost first.
fn missing_directories(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<_> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

/// Somebody else may have made it meanwhile.
fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(_) if path.is_dir() => Ok(()),
        created => created,
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Elsewhere directories cannot be synced; their entries are as durable as the file system makes
/// them (`docs/durability.md`, "Assumptions").
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn write(file: &fs::File, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    let most = pieces.len().min(PIECES_AT_ONCE);
    Ok(rustix::io::pwritev(file, &pieces[..most], offset)?)
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn write(file: &fs::File, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, pieces.first().map_or(&[], |piece| piece), offset)
}

#[cfg(windows)]
fn write(file: &fs::File, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(
        file,
        pieces.first().map_or(&[], |piece| piece),
        offset,
    )
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &fs::File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::{Errno, retry_on_intr};

    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        reserved => Ok(reserved?),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn punch(file: &fs::File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    Ok(fallocate(
        file,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        offset,
        len,
    )?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(_: &fs::File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn punch(_: &fs::File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn evict(file: &fs::File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};

    Ok(fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(len),
        Advice::DontNeed,
    )?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn evict(_: &fs::File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The most that Linux takes in one call: `IOV_MAX`.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PIECES_AT_ONCE: usize = 1024;
