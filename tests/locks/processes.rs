//! Logs that another process has open.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;

use tidewal::{Lsn, TornTailReason};

use crate::helpers::{
    FORKS, WAYS, Way, append, assert_free, assert_locked, collect, fill, read_all, within_a_minute,
};
use crate::support::options;

#[test]
fn a_log_that_another_process_appends_to_is_locked_until_that_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let holder = Holder::start(&dir, Way::Open);
    within_a_minute(async {
        assert_locked(&dir, &WAYS).await;
        holder.kill();
        let mut recovery = options().recover(&dir).await.unwrap();
        let records = collect(&mut recovery).await;
        assert_eq!(records.len(), HELD_RECORDS, "all of them were acknowledged");
        let cut = recovery
            .report()
            .torn_tail
            .clone()
            .expect("it was not closed");
        assert_eq!(cut.reason, TornTailReason::NoRecord);
        assert_eq!(cut.lsn, Lsn::new(HELD_RECORDS as u64 + 1));
        recovery.into_wal().await.unwrap().close().await.unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn a_log_that_another_process_recovers_is_locked_until_that_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    within_a_minute(fill(&dir, 10));
    let holder = Holder::start(&dir, Way::Recover);
    within_a_minute(async {
        assert_locked(&dir, &WAYS).await;
        holder.kill();
        assert_free(&dir).await;
    });
}

#[test]
fn a_log_that_another_process_reads_can_be_read_and_not_appended_to() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    within_a_minute(fill(&dir, 10));
    let holder = Holder::start(&dir, Way::Read);
    within_a_minute(async {
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        let reader = options().read(&dir).await.unwrap();
        holder.kill();
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(read_all(reader).await.len(), 10);
        assert_free(&dir).await;
    });
}

/// What a [`Holder`] runs.
#[test]
#[ignore = "the tests above run it, in a process of its own"]
fn hold_a_log() {
    let Some(dir) = std::env::var_os(HELD_DIR).map(PathBuf::from) else {
        return;
    };
    let way = std::env::var(HELD_WAY).unwrap();
    within_a_minute(async {
        match Way::of(&way) {
            Way::Open => {
                let wal = options().open(&dir).await.unwrap();
                append(&wal, HELD_RECORDS).await;
                report_and_wait();
                drop(wal);
            }
            Way::Recover => {
                let recovery = options().recover(&dir).await.unwrap();
                report_and_wait();
                drop(recovery);
            }
            Way::Read => {
                let reader = options().read(&dir).await.unwrap();
                report_and_wait();
                drop(reader);
            }
        }
    });
}

/// Reports to the parent that the log is open, and waits to be killed or for the parent's end.
fn report_and_wait() {
    eprintln!("{HELD}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// Another process of this test binary, which has a log open.
struct Holder(Child);

impl Holder {
    /// Returns once it has the log.
    fn start(dir: &Path, way: Way) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "processes::hold_a_log",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(HELD_DIR, dir)
            .env(HELD_WAY, way.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = {
            let _alone = FORKS.write().unwrap_or_else(PoisonError::into_inner);
            command.spawn().unwrap()
        };
        let said = BufReader::new(child.stderr.take().unwrap());
        let holder = Self(child);
        let mut lines = Vec::new();
        for line in said.lines().map_while(Result::ok) {
            if line == HELD {
                return holder;
            }
            lines.push(line);
        }
        panic!("the other process has failed: {lines:#?}");
    }

    /// Kills the process like `kill -9`. Returns once it has ended.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // If this fails, the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HELD: &str = "held";
const HELD_DIR: &str = "TIDEWAL_TEST_HELD_DIR";
const HELD_WAY: &str = "TIDEWAL_TEST_HELD_WAY";
const HELD_RECORDS: usize = 50;
