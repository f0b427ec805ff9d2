//! The resources that a measurement uses.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time of the process, and the bytes that all processes wrote to its disk.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    processor: Duration,
    disk_bytes: Option<u64>,
}

/// The difference between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub processor: Duration,
    pub disk_bytes: Option<u64>,
}

/// The block device of a directory, if it has one.
#[derive(Clone, Debug)]
pub struct Device(Option<PathBuf>);

impl Device {
    pub fn of(dir: &Path) -> Self {
        let device = fs::metadata(dir).map_or(0, |dir| dir.dev());
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let path = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        Self(path.exists().then_some(path))
    }

    /// The bytes written to it since the machine was started. The kernel counts sectors of 512 bytes.
    fn written_bytes(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.0.as_ref()?).ok()?;
        let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
        Some(sectors * 512)
    }
}

impl Used {
    pub fn now(device: &Device) -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Self {
            processor: Duration::new(seconds, nanos),
            disk_bytes: device.written_bytes(),
        }
    }

    pub fn since(self, before: Self) -> Spent {
        let disk = self.disk_bytes.zip(before.disk_bytes);
        Spent {
            processor: self.processor.saturating_sub(before.processor),
            disk_bytes: disk.map(|(after, before)| after.saturating_sub(before)),
        }
    }
}

/// The largest resident set of this process so far, in bytes.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

/// Resets the largest resident set to the current one.
pub fn reset_peak_memory() {
    // If this is not permitted, the peak includes earlier memory.
    let _ = fs::write("/proc/self/clear_refs", "5");
}
