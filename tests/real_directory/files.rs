//! Irregular files, the owner of files, and files that are in the way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use tidewal::{Error, Lsn};

use crate::helpers::{append, assert_opens, in_dir, options, text};

const SEGMENT: &str = "00000000000000000001.wal";

/// The name of an irregular file in errors, and a function that creates it if this user can.
type Thing = (&'static str, fn(&Path) -> bool);

const THINGS: [Thing; 6] = [
    ("a FIFO", |path| run("mkfifo", &[path.to_str().unwrap()])),
    ("a socket", |path| UnixListener::bind(path).is_ok()),
    ("a directory", |path| fs::create_dir(path).is_ok()),
    ("a symbolic link", |path| {
        fs::write(path.with_extension("target"), "").unwrap();
        symlink(path.with_extension("target"), path).is_ok()
    }),
    ("a symbolic link", |path| symlink("nowhere", path).is_ok()),
    ("a device", |path| {
        run("mknod", &[path.to_str().unwrap(), "c", "1", "3"])
    }),
];

fn run(program: &str, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn regression_what_is_no_regular_file_is_an_error_at_once() {
    for (what, make) in THINGS {
        for name in [SEGMENT, "LOCK"] {
            in_dir(async |dir| {
                fs::create_dir(&dir).unwrap();
                if !make(&dir.join(name)) {
                    println!("skipped: this user cannot make {what}");
                    return;
                }
                for error in [
                    options().open(&dir).await.unwrap_err(),
                    options().recover(&dir).await.unwrap_err(),
                    options().read(&dir).await.unwrap_err(),
                ] {
                    let text = text(&error);
                    assert!(matches!(error, Error::Io(_)), "{error:?}");
                    assert!(text.contains(what) && text.contains(name), "{text}");
                }
            });
        }
    }
}

/// Other programs may have left these. A directory cannot be removed as a file.
#[test]
fn regression_what_is_named_like_a_spare_keeps_no_log_from_opening() {
    for (what, make) in THINGS {
        in_dir(async |dir| {
            let wal = options().open(&dir).await.unwrap();
            append(&wal, 1..=3).await;
            wal.close().await.unwrap();
            if !make(&dir.join("00000000000000000000.spare")) {
                println!("skipped: this user cannot make {what}");
                return;
            }
            let wal = options().open(&dir).await.unwrap();
            append(&wal, 4..=60).await;
            wal.truncate_before(Lsn::new(40)).await.unwrap();
            append(&wal, 61..=100).await;
            wal.close().await.unwrap();
            assert_opens(&dir, 40..=100).await;
        });
    }
}

/// The log does not need it.
#[test]
fn regression_what_is_named_like_a_truncated_segment_keeps_no_log_from_opening() {
    for (what, make) in THINGS {
        in_dir(async |dir| {
            let wal = options().open(&dir).await.unwrap();
            append(&wal, 1..=60).await;
            wal.truncate_before(Lsn::new(40)).await.unwrap();
            wal.close().await.unwrap();
            if !make(&dir.join(SEGMENT)) {
                println!("skipped: this user cannot make {what}");
                return;
            }
            let wal = options().open(&dir).await.unwrap();
            append(&wal, 61..=100).await;
            wal.truncate_before(Lsn::new(80)).await.unwrap();
            wal.close().await.unwrap();
            assert_opens(&dir, 80..=100).await;
        });
    }
}

#[test]
fn regression_an_immutable_spare_keeps_no_log_from_opening() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=3).await;
        wal.close().await.unwrap();
        let spare = dir.join("00000000000000000000.spare");
        fs::write(&spare, "").unwrap();
        let spare = spare.to_str().unwrap();
        if !run("chattr", &["+i", spare]) {
            println!("skipped: this user cannot make a file immutable here");
            return;
        }
        let opened = options().open(&dir).await;
        assert!(run("chattr", &["-i", spare]));
        let wal = opened.unwrap();
        append(&wal, 4..=60).await;
        wal.close().await.unwrap();
    });
}

#[test]
fn a_file_in_the_place_of_the_next_segment_is_not_written_over() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=3).await;
        let next = dir.join("00000000000000000004.wal");
        fs::write(&next, "not the log's").unwrap();
        wal.append(vec![0; 12_000]).await.unwrap_err();
        assert_eq!(fs::read(&next).unwrap(), b"not the log's");
        drop(wal);
    });
}

#[test]
fn regression_files_are_private() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=30).await;
        wal.close().await.unwrap();
        assert_eq!(
            fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
            0o700
        );
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        }
    });
}

#[test]
fn regression_what_root_creates_belongs_to_the_owner_of_the_directory() {
    const OWNER: u32 = 65_533;

    in_dir(async |dir| {
        fs::create_dir(&dir).unwrap();
        if chown(&dir, Some(OWNER), Some(OWNER)).is_err() {
            println!("skipped: only root gives files away");
            return;
        }
        let below = dir.join("a/log");
        let wal = options().open(&below).await.unwrap();
        append(&wal, 1..=30).await;
        wal.close().await.unwrap();
        let files = fs::read_dir(&below).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        for path in files.chain([below.clone(), dir.join("a")]) {
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (OWNER, OWNER), "{path:?}");
        }
    });
}
