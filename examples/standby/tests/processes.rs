//! The program itself: its processes are killed, connections are reset, and a primary is deposed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A test that is still waiting has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// A process. It is killed when this is dropped.
struct Node {
    child: Child,
    lines: Receiver<String>,
}

impl Node {
    fn start(role: &str, dir: &Path, address: &str) -> Self {
        Self::run(
            Command::new(env!("CARGO_BIN_EXE_standby")),
            role,
            dir,
            address,
        )
    }

    /// A process that may have this many files open.
    fn start_with_files(files: u32, role: &str, dir: &Path, address: &str) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_standby")]);
        Self::run(shell, role, dir, address)
    }

    fn run(mut command: Command, role: &str, dir: &Path, address: &str) -> Self {
        let mut child = command
            .args([role.as_ref(), dir.as_os_str(), address.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Self { child, lines }
    }

    /// Sends lines to a primary, and checks that it acknowledges each.
    fn append(&mut self, from: u64, upto: u64) {
        for lsn in from..=upto {
            self.write(lsn).unwrap();
            assert_eq!(self.lines.recv_timeout(LIMIT), Ok(lsn.to_string()));
        }
    }

    fn write(&mut self, number: u64) -> std::io::Result<()> {
        writeln!(self.child.stdin.as_mut().unwrap(), "record {number}")
    }

    /// Waits until a standby reports that its log is durable up to this record.
    fn wait_durable(&self, lsn: u64) {
        while self.lines.recv_timeout(LIMIT).unwrap() != lsn.to_string() {}
    }

    /// Waits until the process ends on its own. Returns the rest of its output, and the reason.
    fn end(mut self) -> (Vec<String>, String) {
        let mut printed = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => printed.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it has not ended"),
            }
        }
        let mut reason = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        errors.read_to_string(&mut reason).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(1), "{reason}");
        (printed, reason)
    }
}

impl Drop for Node {
    /// As `kill -9` does.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An address that is free even if the primary behind it ends and another one takes it: no other process
/// has the same host.
fn address() -> String {
    static PORT: AtomicU16 = AtomicU16::new(7000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{b}.{c}:{port}", a + 1)
}

fn promote(dir: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standby"));
    let status = command.arg("promote").arg(dir).status().unwrap();
    assert!(status.success());
}

/// The records of a log whose process has ended.
#[tokio::main(flavor = "current_thread")]
async fn records(dir: &Path) -> Vec<String> {
    let mut recovery = tidewal::Wal::recover(dir.join("wal")).await.unwrap();
    let mut records = Vec::new();
    while let Some(record) = recovery.try_next().await.unwrap() {
        records.push(String::from_utf8(record.payload.to_vec()).unwrap());
    }
    records
}

fn numbered(upto: u64) -> Vec<String> {
    (1..=upto).map(|lsn| format!("record {lsn}")).collect()
}

#[test]
fn a_standby_survives_the_primary_and_itself_being_killed() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = address();
    let mut primary = Node::start("primary", first.path(), &address);
    let standby = Node::start("standby", second.path(), &address);
    primary.append(1, 10);
    standby.wait_durable(10);

    drop(primary);
    let mut primary = Node::start("primary", first.path(), &address);
    primary.append(11, 20);
    standby.wait_durable(20);

    drop(standby);
    primary.append(21, 30);
    let standby = Node::start("standby", second.path(), &address);
    standby.wait_durable(30);

    drop(primary);
    drop(standby);
    promote(second.path());
    let mut primary = Node::start("primary", second.path(), &address);
    primary.append(31, 40);
    drop(primary);
    assert_eq!(records(second.path()), numbered(40));
}

/// The standby ended at the first connection that was reset.
#[test]
fn regression_a_standby_connects_again_after_a_reset() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = address();
    let listener = TcpListener::bind(&address).unwrap();
    let standby = Node::start("standby", second.path(), &address);
    let (stream, _) = listener.accept().unwrap();
    // A socket that is closed with something unread sends a reset.
    stream.peek(&mut [0]).unwrap();
    drop((stream, listener));
    let mut primary = Node::start("primary", first.path(), &address);
    primary.append(1, 10);
    standby.wait_durable(10);
}

/// The deposed primary stopped serving but continued to acknowledge appends, and its process did not end.
#[test]
fn regression_a_deposed_primary_acknowledges_nothing_more() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = address();
    let mut old = Node::start("primary", first.path(), &address);
    let standby = Node::start("standby", second.path(), &address);
    old.append(1, 10);
    standby.wait_durable(10);
    drop(standby);
    promote(second.path());

    // By mistake, it is told to follow the old primary.
    let standby = Node::start("standby", second.path(), &address);
    let (_, reason) = standby.end();
    assert!(reason.contains("its term is 0, lower than 1"), "{reason}");
    // The old primary has closed its log before it answered.
    for number in 11..=30 {
        old.write(number).ok();
    }
    let (acknowledged, reason) = old.end();
    assert_eq!(acknowledged, Vec::<String>::new());
    assert!(reason.contains("another machine was promoted"), "{reason}");
    assert_eq!(records(first.path()), numbered(10));
}

/// The primary ended at the first connection that it had no file descriptor for.
#[test]
fn regression_a_primary_survives_connections_that_it_cannot_accept() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = address();
    let mut primary = Node::start_with_files(40, "primary", first.path(), &address);
    primary.append(1, 10);
    let connections: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    let mut errors = BufReader::new(primary.child.stderr.take().unwrap());
    let mut problem = String::new();
    errors.read_line(&mut problem).unwrap();
    assert!(problem.contains("was not accepted"), "{problem}");
    drop(connections);
    primary.append(11, 20);
    let standby = Node::start("standby", second.path(), &address);
    standby.wait_durable(20);
}

/// A log that was a primary's, and was not followed to its end, has diverged from the new one.
#[test]
fn a_standby_ends_if_the_logs_have_diverged() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = address();
    let mut longer = Node::start("primary", first.path(), &address);
    longer.append(1, 10);
    drop(longer);
    let mut shorter = Node::start("primary", second.path(), &address);
    shorter.append(1, 5);
    let (_, reason) = Node::start("standby", first.path(), &address).end();
    assert!(reason.contains("the logs have diverged"), "{reason}");
}
