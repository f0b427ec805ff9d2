//! A directory that is open already.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tidewal::Error;
use tidewal_openraft::OpenError;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLog, RaftLogs, Vote};

/// Checks that neither kind of log can be opened, and that the error names the directory and who
/// has it.
async fn assert_locked(dir: &Path, holder: &str) {
    let errors = [
        RaftLog::open(dir).await.map(drop).unwrap_err(),
        RaftLogs::open(dir).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, OpenError::Log(Error::Locked { .. })));
        let text = error.to_string();
        let names_dir = text.contains(&format!("{} is in use", dir.display()));
        assert!(names_dir && text.contains(holder), "{text}");
    }
}

#[tokio::test]
async fn a_log_is_open_once_in_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = RaftLog::open(dir.path()).await.unwrap();
    assert_locked(dir.path(), "this process").await;
    log.save_vote(&Vote::new(3, 1)).await.unwrap();
    drop(log);
    let mut log = RaftLog::open(dir.path()).await.unwrap();
    assert_eq!(log.saved_vote().await, Some(Vote::new(3, 1)));
}

#[tokio::test]
async fn logs_of_groups_are_open_once_in_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let logs = RaftLogs::open(dir.path()).await.unwrap();
    let mut log = logs.open_group(7).unwrap();
    log.save_vote(&Vote::new(3, 1)).await.unwrap();
    assert_locked(dir.path(), "this process").await;
    // An open group keeps the log open.
    drop(logs);
    assert_locked(dir.path(), "this process").await;
    drop(log);
    let mut log = RaftLogs::open(dir.path())
        .await
        .unwrap()
        .open_group(7)
        .unwrap();
    assert_eq!(log.saved_vote().await, Some(Vote::new(3, 1)));
}

#[tokio::test]
async fn a_log_that_another_process_has_open_is_locked_until_that_ends() {
    for kind in ["one", "many"] {
        let dir = tempfile::tempdir().unwrap();
        let holder = Holder::start(dir.path(), kind);
        assert_locked(dir.path(), &format!("process {}", holder.0.id())).await;
        drop(holder);
        let vote = if kind == "one" {
            let mut log = RaftLog::open(dir.path()).await.unwrap();
            log.saved_vote().await
        } else {
            let logs = RaftLogs::open(dir.path()).await.unwrap();
            logs.open_group(7).unwrap().saved_vote().await
        };
        assert_eq!(vote, Some(Vote::new(3, 1)));
    }
}

/// What a [`Holder`] runs.
#[tokio::test]
#[ignore = "the test above runs it, in a process of its own"]
async fn hold_a_log() {
    let Some(dir) = std::env::var_os(HELD_DIR).map(PathBuf::from) else {
        return;
    };
    let vote = Vote::new(3, 1);
    if std::env::var(HELD_KIND).unwrap() == "one" {
        let mut log = RaftLog::open(dir).await.unwrap();
        log.save_vote(&vote).await.unwrap();
        report_and_wait();
        drop(log);
    } else {
        let logs = RaftLogs::open(dir).await.unwrap();
        let mut log = logs.open_group(7).unwrap();
        log.save_vote(&vote).await.unwrap();
        report_and_wait();
        drop((log, logs));
    }
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
    fn start(dir: &Path, kind: &str) -> Self {
        let module = module_path!().split_once("::").unwrap().1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(format!("{module}::hold_a_log"))
            .args(["--exact", "--ignored", "--nocapture"])
            .env(HELD_DIR, dir)
            .env(HELD_KIND, kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stderr.take().unwrap());
        let mut lines = output.lines().map(Result::unwrap);
        assert!(lines.any(|line| line == HELD), "it does not open the log");
        Self(child)
    }
}

impl Drop for Holder {
    /// `kill -9`, and waits until the process is gone.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

const HELD: &str = "the log is open";
const HELD_DIR: &str = "TIDEWAL_HELD_DIR";
const HELD_KIND: &str = "TIDEWAL_HELD_KIND";
