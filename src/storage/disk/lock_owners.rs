//! Which processes have a file locked, as Linux reports it.

use std::fs;

use rustix::fs::{Stat, major, minor};

use crate::storage::access::LockOwner;

/// The processes that hold a lock of one of these files.
pub(super) fn of(files: &[Option<Stat>]) -> Vec<LockOwner> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let is_wanted = |lock: &Line| files.iter().flatten().any(|file| lock.is_of(file));
    let mut owners: Vec<_> = locks
        .lines()
        .filter_map(Line::parse)
        .filter(is_wanted)
        .map(|lock| LockOwner {
            pid: lock.pid,
            name: name_of(lock.pid),
            appends: lock.is_exclusive,
        })
        .collect();
    owners.sort_by_key(|owner| owner.pid);
    owners.dedup();
    owners
}

/// A line of `/proc/locks`, such as `1: FLOCK  ADVISORY  WRITE 1234 08:01:131090 0 EOF`.
struct Line {
    is_exclusive: bool,
    pid: u32,
    /// Major and minor number.
    device: (u32, u32),
    inode: u64,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        // A waiting lock has an arrow as its second word.
        let [_, "FLOCK", _, mode, pid, file, ..] = words[..] else {
            return None;
        };
        let mut numbers = file.split(':');
        let mut hex = || u32::from_str_radix(numbers.next()?, 16).ok();
        let device = (hex()?, hex()?);
        Some(Self {
            is_exclusive: mode == "WRITE",
            // A process of another namespace has no process id here.
            pid: pid.parse().ok().filter(|&pid| pid > 0)?,
            device,
            inode: numbers.next()?.parse().ok()?,
        })
    }

    /// Some file systems report a different device here than elsewhere. In that case the process
    /// must have the file open.
    fn is_of(&self, file: &Stat) -> bool {
        let device = (major(file.st_dev), minor(file.st_dev));
        self.inode == file.st_ino && (self.device == device || self.has_open(file))
    }

    fn has_open(&self, file: &Stat) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid));
        let mut descriptors = descriptors.into_iter().flatten().flatten();
        descriptors.any(|descriptor| {
            let open = rustix::fs::stat(descriptor.path());
            open.is_ok_and(|open| (open.st_dev, open.st_ino) == (file.st_dev, file.st_ino))
        })
    }
}

fn name_of(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = Line::parse("1: FLOCK  ADVISORY  WRITE 1234 fd:01:131090 0 EOF").unwrap();
        assert!(line.is_exclusive);
        assert_eq!(
            (line.pid, line.device, line.inode),
            (1234, (0xfd, 1), 131_090)
        );
        assert!(Line::parse("2: POSIX  ADVISORY  READ 77 08:01:5 0 EOF").is_none());
        assert!(Line::parse("1: -> FLOCK  ADVISORY  WRITE 99 08:01:5 0 EOF").is_none());
        assert!(Line::parse("1: FLOCK  ADVISORY  WRITE 0 08:01:5 0 EOF").is_none());
    }
}
