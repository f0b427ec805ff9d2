//! Who has a log open, as far as the system says.

use std::fmt;
use std::path::Path;

/// A process that holds the lock of a log.
#[derive(Debug, Eq, PartialEq)]
pub struct Holder {
    pub pid: u32,
    /// The name of its program; empty if that is not known.
    pub name: String,
    /// Whether it appends; else it reads.
    pub appends: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} by process {} ({})",
            self.access(),
            self.pid,
            self.name
        )
    }
}

impl Holder {
    pub fn access(&self) -> &'static str {
        if self.appends { "appending" } else { "reading" }
    }
}

/// The processes that hold the lock of the log in `dir`, other than this one. Empty where the system does
/// not say.
#[cfg(target_os = "linux")]
pub fn find(dir: &Path) -> Vec<Holder> {
    let path = dir.join("LOCK");
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut holders: Vec<_> = locks
        .lines()
        .filter_map(parse)
        .filter(|lock| lock.pid != std::process::id() && is_of(lock, &path))
        .map(|lock| Holder {
            pid: lock.pid,
            name: name_of(lock.pid),
            appends: lock.is_exclusive,
        })
        .collect();
    holders.sort_by_key(|holder| holder.pid);
    holders.dedup();
    holders
}

#[cfg(not(target_os = "linux"))]
pub fn find(_: &Path) -> Vec<Holder> {
    Vec::new()
}

/// A line of `/proc/locks`, such as `1: FLOCK  ADVISORY  WRITE 1234 08:01:131090 0 EOF`.
#[cfg(target_os = "linux")]
struct Line {
    is_exclusive: bool,
    pid: u32,
    /// Major and minor number.
    device: (u32, u32),
    inode: u64,
}

#[cfg(target_os = "linux")]
fn parse(line: &str) -> Option<Line> {
    let words: Vec<_> = line.split_whitespace().collect();
    // One that waits has an arrow for its second word.
    let [_, "FLOCK", _, mode, pid, file, ..] = words[..] else {
        return None;
    };
    let mut numbers = file.split(':');
    let mut hex = || u32::from_str_radix(numbers.next()?, 16).ok();
    let device = (hex()?, hex()?);
    Some(Line {
        is_exclusive: mode == "WRITE",
        pid: pid.parse().ok()?,
        device,
        inode: numbers.next()?.parse().ok()?,
    })
}

/// Some file systems say another device here than elsewhere; then the process has to have the file open.
#[cfg(target_os = "linux")]
fn is_of(lock: &Line, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    let device = metadata.dev();
    let same_device = (rustix::fs::major(device), rustix::fs::minor(device)) == lock.device;
    metadata.ino() == lock.inode && (same_device || has_open(lock.pid, path))
}

#[cfg(target_os = "linux")]
fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(path) = std::fs::canonicalize(path) else {
        return false;
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let mut descriptors = descriptors.into_iter().flatten().flatten();
    descriptors.any(|entry| std::fs::read_link(entry.path()).is_ok_and(|open| open == path))
}

#[cfg(target_os = "linux")]
fn name_of(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = parse("1: FLOCK  ADVISORY  WRITE 1234 fd:01:131090 0 EOF").unwrap();
        assert!(line.is_exclusive);
        assert_eq!(
            (line.pid, line.device, line.inode),
            (1234, (0xfd, 1), 131_090)
        );
        assert!(parse("2: POSIX  ADVISORY  READ 77 08:01:5 0 EOF").is_none());
        assert!(parse("1: -> FLOCK  ADVISORY  WRITE 99 08:01:5 0 EOF").is_none());
    }
}
