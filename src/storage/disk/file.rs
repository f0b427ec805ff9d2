//! An open file and the system calls on it.

use std::fs;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use crate::storage::access::FileId;
use crate::storage::backend::BackendFile;

/// A regular file.
pub(super) struct DiskFile {
    file: fs::File,
    id: Option<FileId>,
    blocks: Blocks,
}

/// Which blocks of a file the file system has recorded as holding data. A sync of writes to these
/// blocks does not depend on the journal.
///
/// The answer of the file system (`SEEK_HOLE`) is not enough: it reports allocated blocks that were never
/// written as data while the cache holds pages of them.
struct Blocks {
    /// All blocks up to this offset, at the last sync.
    settled: u64,
    /// All blocks up to this offset, including writes since the last sync.
    written: u64,
    /// Whether anything else was written, or space was allocated or freed. At first this is
    /// unknown.
    is_other_changed: bool,
}

impl Blocks {
    fn unknown() -> Self {
        Self {
            settled: 0,
            written: 0,
            is_other_changed: true,
        }
    }

    fn assume_settled(&mut self, end: u64) {
        (self.settled, self.written) = (end, end);
    }

    fn note_write(&mut self, offset: u64, len: u64) {
        match offset <= self.written {
            true => self.written = self.written.max(offset + len),
            false => self.is_other_changed = true,
        }
    }

    fn note_change(&mut self, offset: u64) {
        self.settled = self.settled.min(offset);
        self.written = self.written.min(offset);
        self.is_other_changed = true;
    }

    fn are_settled(&self) -> bool {
        self.settled == self.written && !self.is_other_changed
    }

    fn settle(&mut self) {
        self.settled = self.written;
        self.is_other_changed = false;
    }
}

impl BackendFile for DiskFile {
    fn id(&self) -> Option<FileId> {
        self.id
    }

    #[cfg(unix)]
    fn links(&self) -> io::Result<u64> {
        let metadata = self.file.metadata()?;
        Ok(std::os::unix::fs::MetadataExt::nlink(&metadata))
    }

    #[cfg(not(unix))]
    fn links(&self) -> io::Result<u64> {
        Ok(1)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    fn write_at(&mut self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let count = write(&self.file, pieces, offset)?;
        self.blocks.note_write(offset, count as u64);
        Ok(count)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        self.blocks.note_change(len);
        match reserve(&self.file, len) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.extend_with_zeros(len),
            reserved => reserved,
        }
    }

    fn release(&mut self, offset: u64) -> io::Result<()> {
        let len = self.len()?;
        self.blocks.note_change(offset);
        if offset < len {
            punch(&self.file, offset, len - offset)
        } else {
            Ok(())
        }
    }

    #[cfg(feature = "tools")]
    fn shorten(&mut self, len: u64) -> io::Result<()> {
        self.blocks.note_change(len);
        self.file.set_len(len)
    }

    fn assume_written(&mut self, end: u64) {
        let end = first_hole(&self.file).map_or(0, |hole| hole.min(end));
        self.blocks.assume_settled(end);
    }

    /// `sync_data` is enough: it includes the file's length and block map, and omits only the
    /// times. On macOS the standard library makes it a full flush of the drive.
    fn poll_sync(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sync())
    }
}

impl DiskFile {
    pub(super) fn new(file: fs::File, id: Option<FileId>) -> Self {
        let blocks = Blocks::unknown();
        Self { file, id, blocks }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.blocks.are_settled() {
            #[cfg(target_os = "linux")]
            super::aborted_journal::check(&self.file)?;
            self.blocks.settle();
        }
        Ok(())
    }

    /// Allocates space by writing zeros, on file systems that cannot reserve it.
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

/// The first block without space, as in a sparse copy of a file. `None` if the file system cannot tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn first_hole(file: &fs::File) -> Option<u64> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(0)).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn first_hole(_: &fs::File) -> Option<u64> {
    None
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

/// The most pieces that Linux takes in one call: `IOV_MAX`.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PIECES_AT_ONCE: usize = 1024;
