//! The ways into a log, and what is in it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use tidewal::{Error, Reader, Record, Recovery, Wal};

use crate::support::options;

#[derive(Clone, Copy, Debug)]
pub enum Way {
    Open,
    Recover,
    Read,
}

pub const WAYS: [Way; 3] = [Way::Open, Way::Recover, Way::Read];

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Recover => "recover",
            Self::Read => "read",
        }
    }

    pub fn of(name: &str) -> Self {
        let named = WAYS.into_iter().find(|way| way.name() == name);
        named.unwrap()
    }

    /// Goes in and out again.
    pub async fn go(self, dir: &Path) -> Result<(), Error> {
        match self {
            Self::Open => options().open(dir).await?.close().await,
            Self::Recover => options().recover(dir).await.map(drop),
            Self::Read => options().read(dir).await.map(drop),
        }
    }
}

pub async fn assert_locked(dir: &Path, ways: &[Way]) {
    for way in ways {
        match way.go(dir).await {
            Ok(()) => panic!("{way:?} got in"),
            Err(error) => assert_says_locked(&error, dir),
        }
    }
}

pub fn assert_says_locked(error: &Error, expected: &Path) {
    let Error::Locked { dir, holder, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(dir, expected);
    let message = format!("{} is in use: {holder}", expected.display());
    assert_eq!(error.to_string(), message);
    assert!(holder.contains("process"), "who has it: {holder}");
    assert!(!error.is_outcome_unknown());
}

/// Checks that the log can be opened at once in every way, one after the other.
pub async fn assert_free(dir: &Path) {
    for way in WAYS {
        if let Err(error) = way.go(dir).await {
            panic!("{way:?}: {error}");
        }
    }
}

pub async fn fill(dir: &Path, records: usize) {
    let wal = options().open(dir).await.unwrap();
    append(&wal, records).await;
    wal.close().await.unwrap();
}

pub async fn append(wal: &Wal, records: usize) {
    for result in join_all((0..records).map(|_| wal.append("record"))).await {
        result.unwrap();
    }
}

/// Leaves the answers alone.
pub async fn submit(wal: &Wal, records: usize) {
    for _ in 0..records {
        drop(wal.submit("record").await.unwrap());
    }
}

pub async fn collect(recovery: &mut Recovery) -> Vec<Record> {
    recovery.try_collect().await.unwrap()
}

pub async fn read_all(reader: Reader) -> Vec<Record> {
    reader.try_collect().await.unwrap()
}

pub fn listing(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Runs a test with its own directory, which does not exist yet.
pub fn on_disk(test: impl AsyncFnOnce(PathBuf)) {
    let parent = tempfile::tempdir().unwrap();
    within_a_minute(test(parent.path().join("log")));
}

/// Runs a test that must not hang, while no process is being started.
pub fn within_a_minute<T>(test: impl Future<Output = T>) -> T {
    let _no_forks = FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let minute = Duration::from_secs(60);
    runtime
        .block_on(async { tokio::time::timeout(minute, test).await })
        .expect("no opener waits forever")
}

/// A child that is being started inherits the lock files of this process until its exec. So
/// starting one excludes tests that rely on a log being unlocked.
pub static FORKS: RwLock<()> = RwLock::new(());
