//! The table "What a failed call does" of `docs/durability.md` on a real disk: `strace` makes one
//! system call of a child process on a given file fail, and the child reports the effect on the
//! log.
//!
//! If `strace` is missing or not permitted, the test is skipped and prints why.

#![cfg(target_os = "linux")]

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use tidewal::{Error, Lsn, Wal};
use tidewal_testing::harness::faults::cause;

/// One failing call, and the outcome of each step of the child.
struct Row {
    /// Any of these system calls.
    calls: &'static str,
    /// The name of the file, or empty for the directory.
    file: &'static str,
    error: &'static str,
    /// Which of these calls fails.
    nth: u32,
    steps: [&'static str; 7],
}

const WRITES: &str = "pwrite64,pwritev,pwritev2";
const RENAMES: &str = "rename,renameat,renameat2";
const UNLINKS: &str = "unlink,unlinkat";

/// The spare that becomes the second segment, and the segments.
const SPARE: &str = "00000000000000000001.spare";
const FIRST: &str = "00000000000000000001.wal";
const SECOND: &str = "00000000000000000002.wal";
const LAST: &str = "00000000000000000004.wal";
const DIRECTORY: &str = "";

/// The outcomes if nothing fails. The first, second and fourth record each fill a segment.
const SOUND: [&str; 7] = ["ok", "ok", "ok", "ok", "ok", "ok", "ok"];
const REFUSED: [&str; 7] = ["ok", "segment-unavailable", "ok", "ok", "ok", "ok", "ok"];
const FULL: [&str; 7] = ["ok", "storage-full", "ok", "ok", "ok", "ok", "ok"];
/// The batch was not written, but the outcome of the rotation before it is unknown.
const POISONED: [&str; 7] = [
    "ok", "poisoned", "poisoned", "poisoned", "poisoned", "poisoned", "poisoned",
];
/// The record may be in the log.
const IN_DOUBT: [&str; 7] = [
    "ok", "failed", "poisoned", "poisoned", "poisoned", "poisoned", "poisoned",
];
/// A truncation fails, and the next one succeeds.
const KEPT: [&str; 7] = ["ok", "ok", "ok", "ok", "io", "ok", "ok"];
/// The head mark may be on the disk.
const MARK_IN_DOUBT: [&str; 7] = ["ok", "ok", "ok", "ok", "failed", "poisoned", "poisoned"];
const SEAL_IN_DOUBT: [&str; 7] = ["ok", "ok", "ok", "ok", "ok", "ok", "failed"];

const fn row(calls: &'static str, file: &'static str, error: &'static str) -> Row {
    Row {
        calls,
        file,
        error,
        nth: 1,
        steps: REFUSED,
    }
}

const ROWS: &[Row] = &[
    row("openat", SPARE, "EMFILE"),
    row("openat", SPARE, "ENFILE"),
    row("openat", SPARE, "EACCES"),
    row("openat", SPARE, "ENOMEM"),
    row("fallocate", SPARE, "EFBIG"),
    row("fallocate", SPARE, "EIO"),
    row(WRITES, SPARE, "EIO"),
    row("fdatasync", SPARE, "EIO"),
    row(RENAMES, SPARE, "EACCES"),
    row(RENAMES, SPARE, "EIO"),
    // The journal is aborted, and the sync did not report it.
    row("utimensat", SPARE, "EROFS"),
    Row {
        steps: IN_DOUBT,
        ..row("utimensat", SECOND, "EROFS")
    },
    Row {
        steps: FULL,
        ..row("openat", SPARE, "ENOSPC")
    },
    Row {
        steps: FULL,
        ..row("fallocate", SPARE, "ENOSPC")
    },
    Row {
        steps: FULL,
        ..row("fallocate", SPARE, "EDQUOT")
    },
    Row {
        steps: IN_DOUBT,
        ..row(WRITES, SECOND, "EIO")
    },
    Row {
        steps: IN_DOUBT,
        ..row("fdatasync", SECOND, "EIO")
    },
    // The link. The record was the first write, and its sync the first sync.
    Row {
        nth: 2,
        steps: POISONED,
        ..row(WRITES, FIRST, "EIO")
    },
    Row {
        nth: 2,
        steps: POISONED,
        ..row("fdatasync", FIRST, "EIO")
    },
    // The look-up after the sync of the second record.
    Row {
        steps: IN_DOUBT,
        ..row("statx", SECOND, "EIO")
    },
    // The name of the second segment: the writer has synced the directory when it adopted the log,
    // and for the first segment. (Calls are counted in each thread.)
    Row {
        nth: 3,
        steps: POISONED,
        ..row("fsync", DIRECTORY, "EIO")
    },
    // The head mark, after two records and the link.
    Row {
        steps: KEPT,
        ..row("openat", SECOND, "EMFILE")
    },
    Row {
        nth: 4,
        steps: MARK_IN_DOUBT,
        ..row(WRITES, SECOND, "EIO")
    },
    Row {
        nth: 4,
        steps: MARK_IN_DOUBT,
        ..row("fdatasync", SECOND, "EIO")
    },
    // The seal, after a record and a head mark.
    Row {
        nth: 3,
        steps: SEAL_IN_DOUBT,
        ..row(WRITES, LAST, "EIO")
    },
    Row {
        nth: 3,
        steps: SEAL_IN_DOUBT,
        ..row("fdatasync", LAST, "EIO")
    },
    Row {
        steps: KEPT,
        ..row(UNLINKS, FIRST, "EACCES")
    },
];

/// Why the test cannot run here, if it cannot.
fn obstacle() -> Option<String> {
    let traced = Command::new("strace")
        .args(["-qq", "-f", "-o", "/dev/null", "true"])
        .status();
    match traced {
        Err(error) => Some(format!("strace cannot be run: {error}")),
        Ok(status) if !status.success() => Some(format!("strace may not trace: {status}")),
        Ok(_) => None,
    }
}

#[test]
fn each_failed_call_does_what_the_table_says() {
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return;
    }
    let sound = Row {
        error: "",
        steps: SOUND,
        ..row("openat", SPARE, "")
    };
    for row in ROWS.iter().chain([&sound]) {
        let what = format!("{} of {} fails with {}", row.calls, row.file, row.error);
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let log = dir.path().join("log");
        let said = run_child(row, &log);
        let outcomes: Vec<_> = said.iter().map(|(outcome, _)| outcome.as_str()).collect();
        assert_eq!(outcomes, row.steps, "{what}");
        let acknowledged = said.iter().filter_map(|(_, lsn)| *lsn).max();
        assert!(acknowledged <= Some(end_of(&log).get()), "{what}: lost");
    }
}

/// The child's report of each step: the outcome, and the LSN of an append.
fn run_child(row: &Row, log: &Path) -> Vec<(String, Option<u64>)> {
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-f", "-o", "/dev/null"]);
    if !row.error.is_empty() {
        let (calls, error, nth) = (row.calls, row.error, row.nth);
        // By the full path, or by the name in the directory.
        match row.file {
            DIRECTORY => strace.arg("-P").arg(log),
            file => strace.arg("-P").arg(log.join(file)).args(["-P", file]),
        };
        strace.args(["-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={calls}:error={error}:when={nth}")]);
    }
    let output = strace
        .arg(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(LOG, log)
        .output()
        .unwrap();
    let said = said_by(&output).into_iter();
    let said = said.map(|line| match line.split_once(' ') {
        Some((outcome, lsn)) => (outcome.into(), lsn.parse().ok()),
        None => (line, None),
    });
    said.collect()
}

/// The lines that a child has said.
fn said_by(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().filter_map(|line| line.strip_prefix("said "));
    said.map(str::to_owned).collect()
}

fn end_of(log: &Path) -> Lsn {
    futures::executor::block_on(async {
        let mut reader = Wal::options().read(log).await.unwrap();
        while reader.try_next().await.unwrap().is_some() {}
        reader.report().end
    })
}

#[test]
#[ignore = "the process that the other test starts; does nothing by itself"]
fn child() {
    let Ok(log) = std::env::var(LOG) else { return };
    futures::executor::block_on(async {
        let options = Wal::options().segment_size(16 * 1024).spare_segments(0);
        let wal = options.open(log).await.unwrap();
        for len in [7000, 7000, 10, 7000] {
            say(wal.append(vec![7; len]).await.map(Some));
        }
        // Each makes another segment the first one.
        for mark in [2, 4] {
            say(wal.truncate_before(Lsn::new(mark)).await.map(|()| None));
        }
        say(wal.close().await.map(|()| None));
    });
}

/// A process that ignores SIGXFSZ gets `EFBIG` for what is beyond its limit.
#[test]
fn a_file_size_limit_refuses_segments_until_it_is_raised() {
    let limits = Command::new("prlimit").arg("--version").output();
    if !limits.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no prlimit");
        return;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let log = dir.path().join("log");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["child_with_a_limit", "--exact", "--ignored", "--nocapture"])
        .env(LOG, &log)
        .output()
        .unwrap();
    let said = ["ok 1", "segment-unavailable", "EFBIG", "ok 2", "ok 3", "ok"];
    assert_eq!(said_by(&output), said);
    assert_eq!(end_of(&log).get(), 3);
}

#[test]
#[ignore = "the process that the other test starts; does nothing by itself"]
fn child_with_a_limit() {
    let Ok(log) = std::env::var(LOG) else { return };
    futures::executor::block_on(async {
        let options = Wal::options().segment_size(16 * 1024).spare_segments(0);
        let wal = options.open(log).await.unwrap();
        say(wal.append(vec![7; 7000]).await.map(Some));
        limit_file_size("12000");
        let refused = wal.append(vec![7; 7000]).await;
        let cause = refused.as_ref().err().and_then(cause);
        let is_limit = cause.and_then(io::Error::raw_os_error) == Some(EFBIG);
        say(refused.map(Some));
        if is_limit {
            println!("said EFBIG");
        }
        say(wal.append(vec![7; 10]).await.map(Some));
        limit_file_size("unlimited");
        say(wal.append(vec![7; 7000]).await.map(Some));
        say(wal.close().await.map(|()| None));
    });
}

/// Changes the limit of this process.
fn limit_file_size(soft: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--fsize={soft}:unlimited"))
        .status();
    assert!(status.unwrap().success());
}

/// A recycled file was not known to hold data: each sync in it asked after the journal by setting the file's
/// time, which without a journal had the sync write a second block. So did the look-up of its name, which read
/// the times.
#[test]
fn regression_a_sync_in_a_recycled_segment_changes_nothing_but_data() {
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let trace = dir.path().join("trace");
    let status = Command::new("strace")
        .args([
            "-qq",
            "-f",
            "-e",
            "trace=utimensat,pwritev,renameat2,?newfstatat,?statx",
        ])
        .args(["-o", trace.to_str().unwrap()])
        .arg(std::env::current_exe().unwrap())
        .args(["child_that_recycles", "--exact", "--ignored"])
        .env(LOG, dir.path().join("log"))
        .status()
        .unwrap();
    assert!(status.success());
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines = trace.lines().skip_while(|line| !line.contains(MARK));
    let appends: Vec<_> = lines.collect();
    let count = |call| appends.iter().filter(|line| line.contains(call)).count();
    assert!(count("pwritev") >= 100, "{trace}");
    assert_eq!(count("renameat2"), 0, "in one segment");
    // A look at a file's times gives it a new time with the next write.
    assert!(count("statx") >= 100 && count("newfstatat") == 0);
    assert_eq!(count("STATX_BASIC_STATS"), 0, "{appends:#?}");
    // The header block of the new life is a page of its own, and the first sync does not know the file yet.
    assert!(count("utimensat") <= 4, "{appends:#?}");
}

#[test]
#[ignore = "the process that the other test starts; does nothing by itself"]
fn child_that_recycles() {
    let Ok(log) = std::env::var(LOG) else { return };
    futures::executor::block_on(async {
        let options = Wal::options().segment_size(256 * 1024).spare_segments(1);
        let wal = options.open(log).await.unwrap();
        for _ in 0..40 {
            let lsn = wal.append(vec![7; 100 * 1024]).await.unwrap();
            wal.truncate_before(lsn).await.unwrap();
        }
        // Into the segment after the next, which is a recycled one as all the others.
        while wal.stats().segments < 30 {
            wal.append(vec![7; 100 * 1024]).await.unwrap();
        }
        for _ in 0..100 {
            wal.append(MARK).await.unwrap();
        }
        wal.close().await.unwrap();
    });
}

fn say(outcome: Result<Option<Lsn>, Error>) {
    match outcome {
        Ok(Some(lsn)) => println!("said ok {lsn}"),
        Ok(None) => println!("said ok"),
        Err(Error::OutcomeUnknown(_)) => println!("said failed"),
        Err(Error::Io(_)) => println!("said io"),
        Err(Error::Poisoned(_)) => println!("said poisoned"),
        Err(Error::SegmentUnavailable(_)) => println!("said segment-unavailable"),
        Err(Error::StorageFull(_)) => println!("said storage-full"),
        Err(other) => println!("said {other:?}"),
    }
}

const LOG: &str = "TIDEWAL_SYSCALLS_LOG";
const MARK: &str = "MARK";
const EFBIG: i32 = 27;
