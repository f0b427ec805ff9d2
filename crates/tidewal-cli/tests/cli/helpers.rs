//! Logs on disk, and the command.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tidewal::{Wal, WalOptions};

/// The result of a command.
pub struct Ran {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Checks that the command failed and said what to do.
    pub fn assert_failed(&self, code: i32, why: &str) -> &Self {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert!(self.stderr.starts_with("tidewal: "), "{}", self.stderr);
        assert!(self.stderr.contains(why), "{}", self.stderr);
        assert!(self.stderr.contains("next: "), "{}", self.stderr);
        self
    }

    pub fn assert_ok(&self) -> &Self {
        assert_eq!(self.code, 0, "{}{}", self.text(), self.stderr);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the command ends by itself"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewal"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub fn tidewal(arguments: &[&str]) -> Ran {
    command(arguments).output().unwrap().into()
}

pub fn tidewal_with_input(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // The command need not read all of its input.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

/// Starts it with its standard input open.
pub fn start(arguments: &[&str]) -> Child {
    command(arguments).stdin(Stdio::piped()).spawn().unwrap()
}

/// A log of three small segments, with the records `record 1` to `record 900`.
pub struct Log {
    _root: TempDir,
    pub dir: PathBuf,
}

impl Log {
    pub fn make() -> Self {
        let log = Self::empty();
        log.fill(1, 900);
        log
    }

    pub fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("wal");
        fs::create_dir(&dir).unwrap();
        Self { _root: root, dir }
    }

    /// A copy of its files, which no process has open.
    pub fn copy(&self) -> Self {
        let copy = Self::empty();
        for file in fs::read_dir(&self.dir).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.dir.join(file.file_name())).unwrap();
        }
        copy
    }

    pub fn path(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    pub fn options() -> WalOptions {
        Wal::options().segment_size(16 * 1024).spare_segments(0)
    }

    pub fn open(&self) -> Wal {
        wait_for(Self::options().open(&self.dir)).unwrap()
    }

    pub fn fill(&self, first: u64, last: u64) {
        let wal = self.open();
        wait_for(async {
            let mut pending = Vec::new();
            for number in first..=last {
                pending.push(wal.submit(format!("record {number}")).await.unwrap());
            }
            for append in pending {
                append.await.unwrap();
            }
            wal.close().await.unwrap();
        });
    }

    /// Its segments, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|end| end == "wal"))
            .collect();
        segments.sort();
        segments
    }

    /// Flips a bit of a segment.
    pub fn damage(&self, segment: usize, at: u64) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(&self.segments()[segment])
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
}

pub fn wait_for<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

pub fn missing(dir: &Path) -> String {
    dir.join("missing").to_str().unwrap().to_owned()
}
