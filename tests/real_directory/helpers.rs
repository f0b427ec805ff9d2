//! Logs in directories of their own, and other processes.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::TryStreamExt;
use tidewal::{Error, Lsn, Wal, WalOptions};

/// Small segments: every twelfth record begins a new one.
pub fn options() -> WalOptions {
    Wal::options().segment_size(16 * 1024)
}

/// Runs a test that must not hang, with a directory that does not exist yet.
pub fn in_dir(test: impl AsyncFnOnce(PathBuf)) {
    let parent = tempfile::tempdir().unwrap();
    within_a_minute(test(parent.path().join("log")));
}

pub fn within_a_minute<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await })
        .expect("nothing waits for ever")
}

/// Appends numbered records, and expects each LSN to be the record's number.
pub async fn append(wal: &Wal, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let lsn = wal.append(payload(number)).await.unwrap();
        assert_eq!(lsn, Lsn::new(number));
    }
}

pub fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![b'.'; 1000];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

/// Opens a log, checks that it holds these records (and perhaps some before them, because whole segments
/// are truncated), and closes it.
pub async fn assert_opens(dir: &Path, numbers: std::ops::RangeInclusive<u64>) {
    let mut recovery = options().recover(dir).await.unwrap();
    let records: Vec<_> = (&mut recovery).try_collect().await.unwrap();
    let found: Vec<_> = records.iter().map(|record| record.lsn.get()).collect();
    let first = found.first().copied().unwrap_or_default();
    assert!(first <= *numbers.start(), "{first} is the first one");
    assert_eq!(found, (first..=*numbers.end()).collect::<Vec<_>>());
    for record in records {
        assert_eq!(record.payload, payload(record.lsn.get()));
    }
    recovery.into_wal().await.unwrap().close().await.unwrap();
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The newest segment.
pub fn open_segment(dir: &Path) -> PathBuf {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    names.sort();
    names.pop().unwrap()
}

/// The text of an error, with its sources.
pub fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The output of another process that opens the log, appends a record and closes it. `before` is
/// put in front of its command.
pub fn another_process(dir: &Path, before: &[&str]) -> String {
    let exe = std::env::current_exe().unwrap();
    let mut words = before.iter().map(AsRef::as_ref);
    let mut command = match words.next() {
        None => Command::new(&exe),
        Some::<&std::ffi::OsStr>(program) => Command::new(program),
    };
    command.args(words);
    if !before.is_empty() {
        command.arg(&exe);
    }
    let output = command
        .args(["helpers::open_a_log", "--exact", "--ignored", "--nocapture"])
        .env("TIDEWAL_TEST_DIR", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("said: "));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
#[ignore = "another process runs it"]
fn open_a_log() {
    let Some(dir) = std::env::var_os("TIDEWAL_TEST_DIR") else {
        return;
    };
    let allow = std::env::var_os("TIDEWAL_TEST_ALLOW_UNSYNCED").is_some();
    let opened = within_a_minute(async {
        let options = options().allow_unsynced_directory(allow);
        let wal = options.open(dir).await?;
        wal.append("another process").await?;
        wal.close().await
    });
    match opened {
        Ok(()) => eprintln!("said: ok"),
        Err(error) => eprintln!("said: {}", text(&error)),
    }
}
