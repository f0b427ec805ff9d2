//! System calls that a file system does not support, or that fail: another process opens a log
//! under `strace`, which makes them fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidewal::Wal;

use crate::helpers::{another_process, append, in_dir, options};

/// The output of a process that opens the log in `dir` while this call fails on the file or
/// directory `on`. `None` if `strace` is missing or not permitted.
fn with_failing(dir: &Path, on: &Path, inject: &str, allow: bool) -> Option<String> {
    let probe = ["-qq", "-e", "trace=none", "true"];
    let works = Command::new("strace").args(probe).output();
    if !works.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no strace, or it may not trace");
        return None;
    }
    let inject = format!("inject={inject}");
    let allow = format!(
        "TIDEWAL_TEST_ALLOW_{}=1",
        if allow { "UNSYNCED" } else { "NOTHING" }
    );
    let on = on.to_str().unwrap();
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", on, "-e"];
    let command = [&strace[..], &[&inject, "env", &allow]].concat();
    Some(another_process(dir, &command))
}

fn existing(dir: &Path) -> PathBuf {
    std::fs::create_dir(dir).unwrap();
    dir.to_owned()
}

#[test]
fn regression_a_parent_that_cannot_be_synced_is_tolerated() {
    for error in ["EINVAL", "EOPNOTSUPP", "EROFS", "EACCES"] {
        in_dir(async |dir| {
            let dir = existing(&dir);
            let parent = dir.parent().unwrap();
            let inject = format!("fsync:error={error}");
            if let Some(said) = with_failing(&dir, parent, &inject, false) {
                assert_eq!(said, "ok", "{error}");
            }
        });
    }
}

#[test]
fn a_parent_that_cannot_be_opened_is_tolerated() {
    let parent = Path::new("..");
    for error in ["EACCES", "EPERM"] {
        in_dir(async |dir| {
            let inject = format!("openat:error={error}");
            if let Some(said) = with_failing(&existing(&dir), parent, &inject, false) {
                assert_eq!(said, "ok", "{error}");
            }
        });
    }
    in_dir(async |dir| {
        let inject = "openat:error=EIO";
        if let Some(said) = with_failing(&existing(&dir), parent, inject, false) {
            assert!(said.contains("Input/output error"), "{said}");
        }
    });
}

#[test]
fn an_error_of_the_disk_is_never_tolerated() {
    in_dir(async |dir| {
        let dir = existing(&dir);
        for on in [&dir, dir.parent().unwrap()] {
            if let Some(said) = with_failing(&dir, on, "fsync:error=EIO", true) {
                assert!(said.contains("Input/output error"), "{said}");
            }
        }
    });
}

#[test]
fn a_directory_that_cannot_be_synced_is_named_and_opened_if_asked_to() {
    in_dir(async |dir| {
        let dir = existing(&dir);
        let Some(said) = with_failing(&dir, &dir, "fsync:error=EINVAL", false) else {
            return;
        };
        let expected = format!("cannot sync the directory {}:", dir.display());
        assert!(said.starts_with(&expected), "{said}");
        let said = with_failing(&dir, &dir, "fsync:error=EINVAL", true);
        assert_eq!(said.as_deref(), Some("ok"));
    });
}

/// Otherwise the next attempt would take it for one that existed before, and a power cut could lose
/// it.
#[test]
fn a_directory_that_was_created_and_cannot_be_made_durable_does_not_stay() {
    in_dir(async |dir| {
        let parent = dir.parent().unwrap();
        for _ in 0..2 {
            let Some(said) = with_failing(&dir, parent, "fsync:error=EINVAL", false) else {
                return;
            };
            let expected = format!("cannot sync the directory {}:", parent.display());
            assert!(said.starts_with(&expected), "{said}");
            assert!(!dir.exists());
        }
    });
}

#[test]
fn where_a_directory_cannot_be_locked_the_lock_file_counts() {
    for error in ["EBADF", "EINVAL", "EOPNOTSUPP", "ENOLCK"] {
        in_dir(async |dir| {
            let inject = format!("flock:error={error}");
            let Some(said) = with_failing(&dir, &dir, &inject, false) else {
                return;
            };
            assert_eq!(said, "ok", "{error}");
            let wal: Wal = options().open(&dir).await.unwrap();
            let said = with_failing(&dir, &dir, &inject, false).unwrap();
            assert!(said.contains("is in use"), "{said}");
            append(&wal, 2..=3).await;
            wal.close().await.unwrap();
        });
    }
}

#[test]
fn a_lock_that_fails_for_another_reason_is_an_error() {
    in_dir(async |dir| {
        if let Some(said) = with_failing(&dir, &dir, "flock:error=EIO", false) {
            assert!(said.contains("cannot lock"), "{said}");
        }
    });
}
