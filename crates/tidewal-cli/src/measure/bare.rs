//! The baseline: one thread that writes and syncs, without a log.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::measure::context::BenchContext;
use crate::measure::scratch::MIB;
use crate::measure::slice::{Slice, nanos};

/// How bytes are made durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// A write, and `fdatasync`.
    Fdatasync,
    /// A write with `O_DSYNC`.
    Dsync,
    /// A write past the cache, and `fdatasync`.
    DirectFdatasync,
    /// A write past the cache with `O_DSYNC`.
    DirectDsync,
}

impl Method {
    pub const ALL: [Self; 4] = [
        Self::Fdatasync,
        Self::Dsync,
        Self::DirectFdatasync,
        Self::DirectDsync,
    ];

    /// The method that the log uses too, so the log is compared with it.
    pub const BASELINE: Self = Self::Fdatasync;

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fdatasync => "write + fdatasync",
            Self::Dsync => "write, O_DSYNC",
            Self::DirectFdatasync => "O_DIRECT + fdatasync",
            Self::DirectDsync => "O_DIRECT, O_DSYNC",
        }
    }

    fn syncs_itself(self) -> bool {
        matches!(self, Self::Dsync | Self::DirectDsync)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn open(self, path: &Path) -> io::Result<File> {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;

        let flags = match self {
            Self::Fdatasync => OFlags::empty(),
            Self::Dsync => OFlags::DSYNC,
            Self::DirectFdatasync => OFlags::DIRECT,
            Self::DirectDsync => OFlags::DIRECT | OFlags::DSYNC,
        };
        OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn open(self, path: &Path) -> io::Result<File> {
        match self {
            Self::Fdatasync => OpenOptions::new().write(true).open(path),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A file of which every byte was written before, so a sync has no metadata to write, and the bytes
/// to write into it.
pub struct Bare {
    file: File,
    method: Method,
    piece: Aligned,
    offset: usize,
    file_len: usize,
    _dir: tempfile::TempDir,
}

impl Bare {
    /// `None` if the file system does not support the method.
    pub fn open(context: &BenchContext, method: Method, piece_len: usize) -> Option<Self> {
        let dir = context.scratch();
        let path = dir.path().join("bare");
        let file_len = context.scale.or_in_test(64 * MIB, 2 * MIB).max(piece_len);
        write_ahead(&path, file_len).expect("the disk has room for a file");
        let mut bare = Self {
            file: method.open(&path).ok()?,
            method,
            piece: Aligned::new(piece_len),
            offset: 0,
            file_len,
            _dir: dir,
        };
        // Some file systems open a file for direct writes and then refuse them.
        bare.write_and_sync().ok()?;
        Some(bare)
    }

    /// Writes and syncs until the time is over.
    pub fn run(&mut self, time: Duration) -> Slice {
        let mut waits = Vec::new();
        let start = Instant::now();
        let mut now = start;
        while now - start < time {
            self.write_and_sync()
                .expect("the file is written and synced");
            let done = Instant::now();
            waits.push(nanos(done - now));
            now = done;
        }
        let count = waits.len() as u64;
        let bytes = count * self.piece.get().len() as u64;
        Slice::new(count, bytes, now - start, &waits)
    }

    /// Writes at the next position, and starts again at the beginning of the file after its end.
    fn write_and_sync(&mut self) -> io::Result<()> {
        let piece = self.piece.get();
        if self.offset + piece.len() > self.file_len {
            self.file.rewind()?;
            self.offset = 0;
        }
        self.file.write_all(piece)?;
        self.offset += piece.len();
        if self.method.syncs_itself() {
            Ok(())
        } else {
            self.file.sync_data()
        }
    }
}

fn write_ahead(path: &Path, len: usize) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let zeros = vec![0; MIB];
    let mut left = len;
    while left > 0 {
        let piece = &zeros[..left.min(MIB)];
        file.write_all(piece)?;
        left -= piece.len();
    }
    file.sync_all()
}

/// Page-aligned bytes, as direct writes require.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        let bytes = vec![0x5a; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        Self { bytes, start, len }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

/// The alignment of direct writes: a multiple of what every disk requires.
pub const PAGE: usize = 4096;
