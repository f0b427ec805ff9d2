//! Files that fill a disk.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::tools::{command, run};

/// Takes all free space until it is removed.
pub struct Ballast {
    files: Vec<PathBuf>,
}

impl Ballast {
    /// Fills the disk, except for about `left` bytes.
    pub fn put(dir: &Path, left: u64) -> Self {
        let kept = dir.join("kept");
        assert!(left == 0 || reserve(&kept, left), "there is room to keep");
        let mut ballast = Self { files: Vec::new() };
        for size in [64 << 20, 8 << 20, 1 << 20, 128 << 10] {
            while reserve(&ballast.next(dir), size) {}
        }
        while fill(&ballast.next(dir)).unwrap() {}
        if left > 0 {
            fs::remove_file(kept).unwrap();
            sync(dir);
        }
        ballast
    }

    /// The path of another file.
    fn next(&mut self, dir: &Path) -> PathBuf {
        let path = dir.join(format!("ballast-{}", self.files.len()));
        self.files.push(path.clone());
        path
    }

    /// Truncates the files before it removes them: on a copy-on-write file system, a full disk may
    /// have no room for removing a large file.
    pub fn remove(self) {
        for path in self.files.iter().filter(|path| path.exists()) {
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(path)
                .unwrap();
            fs::remove_file(path).unwrap();
        }
        sync(self.files[0].parent().unwrap());
    }
}

/// Allocates space for a file. A partial allocation is kept.
fn reserve(path: &Path, size: u64) -> bool {
    let mut fallocate = command("fallocate", &["--length", &size.to_string()]);
    fallocate.arg(path);
    run(fallocate).is_ok()
}

/// Writes until nothing more can be written. Returns whether anything was written.
fn fill(path: &Path) -> io::Result<bool> {
    let mut written = false;
    loop {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let filled = file.and_then(|mut file| {
            file.write_all(&[b'.'; 4096])?;
            file.sync_data()
        });
        match filled {
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(written),
            filled => filled?,
        }
        written = true;
    }
}

/// Freed space may become available only once that is on disk.
fn sync(dir: &Path) {
    let mut sync = command("sync", &["--file-system"]);
    sync.arg(dir);
    run(sync).unwrap();
}
