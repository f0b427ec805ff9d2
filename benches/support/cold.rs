//! Files that are not in the page cache.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

/// The segments of a log, oldest first, without the open one.
pub fn finished_segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    files.sort();
    files.pop();
    files
}

/// Drops the pages of these files from the page cache, as far as they are synced.
pub fn evict(files: &[PathBuf]) {
    for path in files {
        let file = File::open(path).expect("a segment can be opened");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the system takes the advice");
    }
}

/// The bytes that this process has had read from devices, by the count of the kernel.
pub fn bytes_from_disk() -> u64 {
    let counts = std::fs::read_to_string("/proc/self/io").expect("Linux counts");
    let read = counts
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes: "));
    read.expect("it is among them").parse().expect("a number")
}
