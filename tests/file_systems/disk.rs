//! A disk with a volatile cache whose power can be cut, under a file system of the machine: a loop
//! device over a file that this process serves.
//!
//! What the kernel writes stays in the cache until the kernel flushes it. When the power is cut,
//! any part of the cache survives, sector by sector, each in any version since the last flush. From
//! then on everything fails until the power is back. So no acknowledgment can come after the cut,
//! because it would need a successful flush.
//!
//! It can also fail a single write. The kernel then reports the error once, to the next caller that
//! syncs, and marks the lost pages clean.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fuse::{Mount, Served};
use super::tools::{Kind, Loop, Mounted, Unavailable};
use tidewal_testing::kill::Random;

/// The disk.
pub struct Disk {
    state: Arc<Mutex<State>>,
    // Fields are dropped in this order.
    _mount: Mount,
    file: PathBuf,
    kind: Kind,
}

/// The disk while it is mounted through a loop device.
pub struct Plugged {
    // Fields are dropped in this order.
    _mounted: Mounted,
    _device: Loop,
}

impl Disk {
    /// A disk with an empty file system. `dir` is for its files.
    pub fn new(kind: Kind, dir: &Path) -> Result<Self, Unavailable> {
        let (image, file) = (dir.join("image"), dir.join("disk"));
        kind.make(&image)?;
        File::create_new(&file).unwrap();
        let state = Arc::new(Mutex::new(State::new(&image, kind.sector)));
        let mount = Mount::new(&file, Server(Arc::clone(&state)))?;
        Ok(Self {
            state,
            _mount: mount,
            file,
            kind,
        })
    }

    /// Mounts the file system.
    pub fn plug(&self, path: &Path) -> Result<Plugged, Unavailable> {
        let device = Loop::new(&self.file, self.kind.sector)?;
        let mounted = Mounted::device(&self.kind, device.device(), path)?;
        Ok(Plugged {
            _mounted: mounted,
            _device: device,
        })
    }

    /// Cuts the power after this many more writes and flushes.
    pub fn cut_power_after(&self, operations: u64) {
        self.state().left = Some(operations);
    }

    /// Fails one write, after this many others.
    pub fn fail_after(&self, writes: u64) {
        self.state().fault = Some(writes);
    }

    pub fn is_off(&self) -> bool {
        self.state().is_off()
    }

    /// Restores the power. Returns how many sectors were in the cache, and how many survive.
    pub fn restart(&self, random: &mut Random) -> (usize, usize) {
        self.state().restart(random).unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    image: File,
    len: u64,
    sector: usize,
    /// Sectors that were written since the last flush, in all versions, by their offset.
    cache: BTreeMap<u64, Vec<Box<[u8]>>>,
    /// The number of operations before the power is cut, or `None` if it stays on.
    left: Option<u64>,
    /// Writes before the one that fails.
    fault: Option<u64>,
}

impl State {
    fn new(image: &Path, sector: u64) -> Self {
        let image = OpenOptions::new().read(true).write(true).open(image);
        let image = image.unwrap();
        Self {
            len: image.metadata().unwrap().len(),
            image,
            sector: usize::try_from(sector).unwrap(),
            cache: BTreeMap::new(),
            left: None,
            fault: None,
        }
    }

    fn is_off(&self) -> bool {
        self.left == Some(0)
    }

    /// Counts an operation, which fails if the power is cut.
    fn operate(&mut self) -> io::Result<()> {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.check_power()
    }

    fn check_power(&self) -> io::Result<()> {
        if self.is_off() {
            Err(io::Error::other("the power is off"))
        } else {
            Ok(())
        }
    }

    /// Fails once, when the planned write is reached.
    fn check_fault(&mut self) -> io::Result<()> {
        let is_now = self.fault == Some(0);
        self.fault = self.fault.and_then(|left| left.checked_sub(1));
        if is_now {
            Err(io::Error::other("a bad sector"))
        } else {
            Ok(())
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.check_power()?;
        self.image.read_exact_at(buffer, offset)?;
        for (sector, at) in buffer.chunks_mut(self.sector).zip(self.offsets(offset)) {
            if let Some(newest) = self.cache.get(&at).and_then(|versions| versions.last()) {
                sector.copy_from_slice(&newest[..sector.len()]);
            }
        }
        Ok(())
    }

    /// The write during which the power is cut may survive in part.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_power()?;
        self.check_fault()?;
        assert_eq!(bytes.len() % self.sector, 0, "a disk is written in sectors");
        for (sector, at) in bytes.chunks(self.sector).zip(self.offsets(offset)) {
            self.cache.entry(at).or_default().push(sector.into());
        }
        self.operate()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.operate()?;
        for (at, versions) in std::mem::take(&mut self.cache) {
            let newest = versions.last().expect("it was written");
            self.image.write_all_at(newest, at)?;
        }
        Ok(())
    }

    /// Nothing, a part or all of the cache survives.
    fn restart(&mut self, random: &mut Random) -> io::Result<(usize, usize)> {
        (self.left, self.fault) = (None, None);
        let chance = random.pick(&[0, 1, 4, 7, 8]);
        let cache = std::mem::take(&mut self.cache);
        let (total, mut survivors) = (cache.len(), 0);
        for (at, versions) in cache {
            if random.below(8) < chance {
                let version = random.below(versions.len() as u64);
                let version = &versions[usize::try_from(version).unwrap()];
                self.image.write_all_at(version, at)?;
                survivors += 1;
            }
        }
        Ok((total, survivors))
    }

    fn offsets(&self, first: u64) -> impl Iterator<Item = u64> + use<> {
        assert_eq!(first % self.sector as u64, 0, "a disk is used in sectors");
        (first..).step_by(self.sector)
    }
}

/// The state, as the kernel sees it.
struct Server(Arc<Mutex<State>>);

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Served for Server {
    fn len(&self) -> u64 {
        self.state().len
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.state().read(offset, buffer)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.state().write(offset, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.state().flush()
    }
}
