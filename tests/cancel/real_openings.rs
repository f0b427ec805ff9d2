//! Openings that are dropped on the real disk, where the log's threads continue in the meantime.

use std::path::Path;
use std::task::Poll;
use std::thread::yield_now;

use futures::TryStreamExt;
use futures::executor::block_on;
use tidewal::{Error, Recovery, Wal};
use tokio_test::task;

use crate::helpers::{assert_records, payload};
use crate::support::{options, within_a_minute};

/// `Wal::open`: "Like `WalOptions::open`: if the future is dropped before it completes, no log is
/// open."
#[test]
fn a_log_whose_open_was_dropped_is_given_free() {
    for prepare in [nothing, closed, cut_off] {
        drop_again_and_again(prepare, |dir, polls| drop_after(polls, Wal::open(dir)));
    }
}

/// `Wal::recover`: "Like `WalOptions::recover`: if the future is dropped before it completes, no
/// segment was changed."
#[test]
fn a_log_whose_recovery_was_dropped_when_it_began_is_given_free() {
    for prepare in [nothing, closed, cut_off] {
        drop_again_and_again(prepare, |dir, polls| {
            let before = names(dir);
            let recovery = drop_after(polls, Wal::recover(dir)).map(|opened| opened.map(drop));
            drop(block_on(recover(dir)));
            let is_new = |name: &String| !before.contains(name);
            let created: Vec<_> = names(dir).into_iter().filter(is_new).collect();
            assert!(created.is_empty() || created == ["LOCK"], "{created:?}");
            recovery
        });
    }
}

/// A log can be opened for appending although a reader is only just letting it go.
#[test]
fn a_log_whose_read_was_dropped_is_given_free() {
    for prepare in [closed, cut_off] {
        drop_again_and_again(prepare, |dir, polls| {
            drop_after(polls, options().read(dir)).map(|opened| opened.map(drop))
        });
    }
}

#[test]
fn a_log_whose_into_wal_was_dropped_is_given_free() {
    for prepare in [nothing, closed, cut_off] {
        drop_again_and_again(prepare, |dir, polls| {
            let recovery = block_on(recover(dir));
            drop_after(polls, recovery.into_wal())
        });
    }
}

/// Drops an opening after 0, 1, 2, 4, 8 polls and so on until it completes. Checks after each that
/// the log is complete and unlocked.
fn drop_again_and_again<T: Send + 'static>(
    prepare: fn(&Path) -> u64,
    open: impl Fn(&Path, usize) -> Option<Result<T, Error>> + Send + 'static,
) {
    within_a_minute(move || {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("log");
        let records = prepare(&dir);
        for polls in [0].into_iter().chain((0..).map(|power| 1 << power)) {
            println!("dropped after {polls} polls");
            let opened = open(&dir, polls).map(|opened| opened.map(drop));
            let records_now = block_on(async {
                let recovery = recover(&dir).await;
                recovery.try_collect::<Vec<_>>().await.unwrap()
            });
            assert_records(&records_now, 1..=records);
            match opened {
                Some(Ok(())) => return,
                Some(Err(error)) => panic!("{error:?}"),
                None => {}
            }
        }
    });
}

/// The log's thread may run between two polls.
fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = task::spawn(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = future.poll() {
            return Some(output);
        }
        yield_now();
    }
    None
}

/// It waits for an opening that was dropped and still has the directory locked.
async fn recover(dir: &Path) -> Recovery {
    options().recover(dir).await.unwrap()
}

/// Not even the directory.
fn nothing(_: &Path) -> u64 {
    0
}

fn closed(dir: &Path) -> u64 {
    block_on(async {
        let wal = options().open(dir).await.unwrap();
        for number in 1..=6 {
            wal.append(payload(number)).await.unwrap();
        }
        wal.close().await.unwrap();
    });
    6
}

/// A log as after a crash: a copy that was made while it was open.
fn cut_off(dir: &Path) -> u64 {
    let original = dir.with_file_name("original");
    block_on(async {
        let wal = options().spare_segments(0).open(&original).await.unwrap();
        for number in 1..=6 {
            wal.append(payload(number)).await.unwrap();
        }
        copy(&original, dir);
        wal.close().await.unwrap();
    });
    6
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in names(from) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}
