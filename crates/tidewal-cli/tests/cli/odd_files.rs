//! Irregular files with the name of one of the log's files: no command opens them, follows them or
//! waits for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::helpers::{Log, Ran, command};

pub type Thing = (&'static str, fn(&Path) -> bool);

pub const THINGS: [Thing; 5] = [
    ("a FIFO", |path| make("mkfifo", &[path.to_str().unwrap()])),
    ("a socket", |path| UnixListener::bind(path).is_ok()),
    ("a directory", |path| fs::create_dir(path).is_ok()),
    ("a symbolic link", |path| symlink("elsewhere", path).is_ok()),
    ("a device", |path| {
        make("mknod", &[path.to_str().unwrap(), "c", "1", "3"])
    }),
];

fn make(program: &str, arguments: &[&str]) -> bool {
    let made = Command::new(program).args(arguments).status();
    made.is_ok_and(|status| status.success())
}

/// Runs a command that must not wait for anything.
pub fn at_once(arguments: &[&str]) -> Ran {
    let mut child = command(arguments).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{arguments:?} waits");
        }
        std::thread::yield_now();
    }
    child.wait_with_output().unwrap().into()
}

/// The commands that read the log, and their arguments besides its directory.
const READING: [&[&str]; 5] = [
    &["inspect"],
    &["verify"],
    &["dump"],
    &["repair"],
    &["append"],
];

fn run(arguments: &[&str], log: &Log) -> Ran {
    at_once(&[&arguments[..1], &[log.path()], &arguments[1..]].concat())
}

#[test]
fn a_segment_that_is_no_regular_file_is_named_at_once_by_each_command() {
    for (what, make) in THINGS {
        let log = Log::make();
        let segment = log.segments().remove(1);
        fs::remove_file(&segment).unwrap();
        if !make(&segment) {
            println!("skipped: this user cannot make {what}");
            continue;
        }
        for arguments in READING {
            let ran = run(arguments, &log);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_ne!(ran.code, 0, "{arguments:?}, {what}: {said}");
            let name = segment.file_name().unwrap().to_str().unwrap();
            assert!(
                said.contains(what) && said.contains(name),
                "{arguments:?}: {said}"
            );
        }
    }
}

#[test]
fn a_lock_file_that_is_no_regular_file_is_named_at_once_by_each_command() {
    for (what, make) in THINGS {
        let log = Log::make();
        let lock = log.dir.join("LOCK");
        fs::remove_file(&lock).unwrap();
        if !make(&lock) {
            println!("skipped: this user cannot make {what}");
            continue;
        }
        for arguments in READING {
            let ran = run(arguments, &log);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_ne!(ran.code, 0, "{arguments:?}, {what}: {said}");
            assert!(said.contains("LOCK") && said.contains(what), "{said}");
        }
    }
}

/// The spare is not needed, so it does not prevent opening.
#[test]
fn a_spare_that_is_no_regular_file_is_passed_over_by_each_command() {
    for (what, make) in THINGS {
        let log = Log::make();
        if !make(&log.dir.join("00000000000000000007.spare")) {
            println!("skipped: this user cannot make {what}");
            continue;
        }
        for arguments in READING {
            let ran = run(arguments, &log);
            assert_eq!(ran.code, 0, "{arguments:?}, {what}: {}", ran.stderr);
        }
    }
}

/// `bench` writes into a directory of its own, and `man` writes pages into one.
#[test]
fn what_is_no_directory_is_refused_at_once_by_those_that_write_into_one() {
    for (what, make) in THINGS {
        let log = Log::empty();
        let path = log.dir.join("thing");
        if what == "a directory" || !make(&path) {
            println!("skipped: {what}");
            continue;
        }
        let path = path.to_str().unwrap();
        for arguments in [["bench", "--dir", path], ["man", "--dir", path]] {
            at_once(&arguments).assert_failed(2, "cannot write");
        }
    }
}
