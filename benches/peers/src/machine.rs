//! A description of the machine on which the figures were measured.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Hardware, kernel, file system and date.
pub fn describe(dir: &Path) -> String {
    let (system, device) = file_system(dir).unwrap_or_default();
    format!(
        "{} x {}, Linux {}, {system} on {device}, {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        processor().unwrap_or_else(|| "unknown processor".into()),
        read("/proc/sys/kernel/osrelease").trim(),
        date(now_in_days()),
    )
}

/// A file system on which a sync costs nothing, by its name.
pub fn is_memory(dir: &Path) -> bool {
    file_system(dir).is_some_and(|(system, _)| matches!(&system[..], "tmpfs" | "ramfs"))
}

fn processor() -> Option<String> {
    let info = read("/proc/cpuinfo");
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Type and device of the mount that holds a directory: the one with the longest path.
fn file_system(dir: &Path) -> Option<(String, String)> {
    let dir = dir.canonicalize().ok()?;
    let mounts = read("/proc/self/mountinfo");
    let mounts = mounts.lines().filter_map(mount);
    let holds = mounts.filter(|(point, ..)| dir.starts_with(point));
    let (_, system, device) = holds.max_by_key(|(point, ..)| point.len())?;
    Some((system.to_owned(), device.to_owned()))
}

/// Mount point, type and device of a line of `mountinfo`.
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    Some((place.split(' ').nth(4)?, kind.next()?, kind.next()?))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn now_in_days() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / (24 * 60 * 60))
}

/// The date this many days after 1970-01-01. Years are counted from March, so the leap day comes last.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{}-{month:02}-{day:02}", year + era * 400 + later)
}

/// The version of a crate with which this program was built.
pub fn version_of(name: &str) -> Option<&'static str> {
    let (_, package) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    package.split('"').next()
}

const LOCK: &str = include_str!("../Cargo.lock");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_781), "2026-11-24");
    }

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let line = "22 1 254:0 / /srv rw,noatime shared:1 - ext4 /dev/vda rw";
        assert_eq!(mount(line), Some(("/srv", "ext4", "/dev/vda")));
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert!(version_of("okaywal").is_some());
        assert_eq!(version_of("no-such-crate"), None);
    }
}
