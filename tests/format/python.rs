//! A reader in another language, written from `docs/format.md` alone (`tests/reader`), and the
//! crate agree on every log: sound ones, edited ones, and made-up ones with valid checks. Needs
//! `python3`.
//!
//! To check more logs: `TIDEWAL_LOGS=10000 cargo test --test format python -- --nocapture`

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tidewal::Error;

use crate::cases::{self, Files, Reading};
use crate::craft::Segment;
use crate::short;

/// Logs of each kind.
const LOGS: u64 = 400;

#[test]
fn a_reader_in_python_agrees() {
    let Some(mut python) = Python::start() else {
        println!("skipped: there is no python3");
        return;
    };
    let count = std::env::var("TIDEWAL_LOGS").map_or(LOGS, |text| text.parse().unwrap());
    let mut verdicts = std::collections::BTreeMap::new();
    for (kind, make) in cases::LOGS {
        for seed in 0..count {
            let files = make(&cases::bytes_by_chance(seed));
            let said = python.read(&files);
            assert_eq!(said, expected(&files), "{kind}, seed {seed}");
            let verdict = said.split(' ').next().unwrap().to_owned();
            *verdicts.entry(verdict).or_insert(0) += 1;
        }
    }
    println!("{verdicts:?}");
    for verdict in ["ok", "damaged", "unsupported"] {
        assert!(verdicts[verdict] > count / 20, "{verdicts:?}");
    }
}

#[test]
fn the_reader_in_python_reads_the_logs_that_were_judged_wrongly() {
    let Some(mut python) = Python::start() else {
        println!("skipped: there is no python3");
        return;
    };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (log, verdict) in [
        ("damage-2183", "damaged 0 "),
        ("inner-link-2", "ok 4 "),
        ("lsn-top-sealed", "ok 1 "),
        ("mark-3-lag-2", "damaged 1 "),
    ] {
        let entries = std::fs::read_dir(data.join(log)).unwrap();
        let file = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        };
        let files: Files = entries.map(|entry| file(entry.unwrap())).collect();
        let said = python.read(&files);
        assert!(said.starts_with(verdict), "{log}: {said}");
        assert_eq!(said, expected(&files), "{log}");
    }
}

#[test]
fn the_reader_in_python_completes_a_header_block_with_zeros() {
    let Some(mut python) = Python::start() else {
        println!("skipped: there is no python3");
        return;
    };
    for log in [
        short::without_the_end_of_the_statement(),
        short::without_the_end_of_a_stale_header(),
    ] {
        let files = short::files(&log);
        assert_eq!(python.read(&files), expected(&files));
    }
}

/// The reader is also a program.
#[test]
fn the_reader_in_python_prints_a_directory() {
    if Python::start().is_none() {
        println!("skipped: there is no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let segment = Segment::new(1, 16 * 1024).record(b"hello");
    std::fs::write(dir.path().join(segment.name()), segment.bytes).unwrap();
    let mut command = Command::new("python3");
    let command = command.arg(reader("tidewal_reader.py")).arg(dir.path());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "1 b'hello'\nthe log ends at 1\n");

    std::fs::create_dir(dir.path().join("00000000000000000002.wal")).unwrap();
    assert_eq!(error_of(command), "Damaged: the file cannot be read\n");
    std::fs::write(dir.path().join("RESTORING"), "").unwrap();
    assert_eq!(
        error_of(command),
        "Unfinished: a restore or a backup is not complete\n"
    );
}

/// What a command that fails says, and nothing else.
fn error_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// The crate's verdict, in the notation of `serve.py`.
fn expected(files: &Files) -> String {
    let reading = cases::read_files(files);
    let mut digest = crc32fast::Hasher::new();
    for (lsn, payload) in &reading.records {
        digest.update(&lsn.to_le_bytes());
        digest.update(&(payload.len() as u64).to_le_bytes());
        digest.update(payload);
    }
    let (count, digest) = (reading.records.len(), digest.finalize());
    format!("{} {count} {digest} ", verdict(&reading)) + &ends(&reading)
}

fn verdict(reading: &Reading) -> &'static str {
    match &reading.outcome {
        Ok(_) => "ok",
        Err(Error::Corrupt(_)) => "damaged",
        Err(Error::Unsupported { .. }) => "unsupported",
        Err(error) => panic!("{error:?}"),
    }
}

fn ends(reading: &Reading) -> String {
    match &reading.outcome {
        Ok(end) => format!("{} {}", reading.oldest, end.lsn),
        Err(_) => String::new(),
    }
}

struct Python {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// `None` if `python3` does not run.
    fn start() -> Option<Self> {
        let version = Command::new("python3").arg("--version").output().ok()?;
        if !version.status.success() {
            return None;
        }
        let mut command = Command::new("python3");
        let command = command.arg("-B").arg(reader("serve.py"));
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        Some(Self {
            input: child.stdin.take().map(BufWriter::new),
            output: BufReader::new(child.stdout.take()?),
            child,
        })
    }

    fn read(&mut self, files: &Files) -> String {
        self.send(files).expect("it reads what it is given");
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let line = line.trim_end();
        match line.starts_with("ok") {
            true => line.to_owned(),
            // For a log with an error, only the records count.
            false => line.splitn(4, ' ').take(3).collect::<Vec<_>>().join(" ") + " ",
        }
    }

    fn send(&mut self, files: &Files) -> std::io::Result<()> {
        let input = self.input.as_mut().expect("it is open until the end");
        let number = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
        input.write_all(&number(files.len()))?;
        for (name, bytes) in files {
            input.write_all(&number(name.len()))?;
            input.write_all(&number(bytes.len()))?;
            input.write_all(name.as_bytes())?;
            input.write_all(bytes)?;
        }
        input.flush()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn reader(file: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/reader").join(file)
}
