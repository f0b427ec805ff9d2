//! The child as its killer sees it.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tidewal::Lsn;

use super::child::{KEEP, LIFE, MARK, ORDERS, Orders, SEED};
use super::ops::OpId;

/// Something that a child has said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// It begins to recover the log.
    Reading,
    /// It has read everything, and goes on to adopt the log.
    Recovered,
    /// It begins to append.
    Open,
    /// An append was acknowledged as durable. The LSN is that of its first record.
    Durable(OpId, Lsn),
    /// An append was acknowledged as written.
    Written(OpId, Lsn),
    /// An append failed with `StorageFull`.
    Full(OpId),
    /// An append failed otherwise, certainly.
    Refused(OpId, String),
    /// The outcome of an append is unknown.
    Unknown(OpId, String),
    Truncating(Lsn),
    Truncated(Lsn),
    /// The log could not be opened or truncated.
    Broken(String),
}

impl Event {
    fn parse(said: &str, life: u32) -> Self {
        let mut words = said.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (what, first, second, third) = (word(), word(), word(), word());
        let lsn = |word: &str| Lsn::new(word.parse().expect("an LSN"));
        let op = || OpId {
            producer: first.parse().expect("a producer"),
            life,
            number: second.parse().expect("the number of an append"),
        };
        match what {
            "reading" => Self::Reading,
            "recovered" => Self::Recovered,
            "open" => Self::Open,
            "durable" => Self::Durable(op(), lsn(third)),
            "written" => Self::Written(op(), lsn(third)),
            "full" => Self::Full(op()),
            "refused" => Self::Refused(op(), third.into()),
            "unknown" => Self::Unknown(op(), third.into()),
            "truncating" => Self::Truncating(lsn(first)),
            "truncated" => Self::Truncated(lsn(first)),
            "broken" => Self::Broken(said.into()),
            _ => panic!("the child said {said:?}"),
        }
    }

    pub fn is_acknowledgement(&self) -> bool {
        matches!(self, Self::Durable(..) | Self::Written(..))
    }

    /// Whether the disk has refused to do its work.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Refused(..) | Self::Unknown(..) | Self::Broken(_)
        )
    }
}

/// A child. It is killed at the latest when this is dropped.
pub struct Process {
    child: Child,
    events: Receiver<Event>,
}

impl Process {
    pub fn start(orders: &Orders) -> Self {
        let mut child = command(orders).spawn().expect("the test can start itself");
        let output = child.stdout.take().unwrap();
        let (sender, events) = mpsc::channel();
        let life = orders.life;
        thread::spawn(move || listen(output, life, &sender));
        Self { child, events }
    }

    /// The next thing it says; `None` if it has ended.
    pub fn next(&mut self) -> Option<Event> {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the child hangs"),
        }
    }

    /// `kill -9`, and waits until it is gone. What it had said before is still to be read.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(orders: &Orders) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(ORDERS, &orders.dir)
        .env(SEED, orders.seed.to_string())
        .env(LIFE, orders.life.to_string())
        .env(KEEP, orders.keep.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// The test harness has something to say too; only what is marked as the child's own counts.
fn listen(output: ChildStdout, life: u32, events: &Sender<Event>) {
    for text in BufReader::new(output).lines() {
        let text = text.expect("a pipe can be read");
        let Some(said) = text.strip_prefix(MARK) else {
            continue;
        };
        if events.send(Event::parse(said, life)).is_err() {
            return;
        }
    }
}

/// For what should take a moment only.
const PATIENCE: Duration = Duration::from_secs(60);
