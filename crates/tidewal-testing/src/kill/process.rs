//! The child, as the test that kills it sees it.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tidewal::Lsn;

use super::child::{KEEP, LIFE, MARK, ORDERS, Orders, SEED};
use super::ops::OpId;

/// An event that a child has reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// It begins to recover the log.
    Reading,
    /// It has read everything, and begins to adopt the log.
    Recovered,
    /// It begins to append.
    Open,
    /// An append was acknowledged as durable. The LSN is that of its first record.
    Durable(OpId, Lsn),
    /// An append was acknowledged as written.
    Written(OpId, Lsn),
    /// An append failed with `StorageFull`.
    Full(OpId),
    /// An append was refused for another reason.
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

    /// Whether a full disk kept the log from being opened.
    pub fn is_without_room(&self) -> bool {
        matches!(self, Self::Broken(said) if said.contains("make room for a copy"))
    }

    /// Whether the disk has failed.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Refused(..) | Self::Unknown(..) | Self::Broken(_)
        )
    }
}

/// A child process. Dropping this kills it.
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

    /// The next event, or `None` if the child has ended.
    pub fn next_event(&mut self) -> Option<Event> {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the child hangs"),
        }
    }

    /// Kills it with `kill -9` and waits for its end. Its earlier events can still be read.
    pub fn kill(&mut self) {
        // It may have ended already.
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

/// Reads the child's output. The test harness prints too, so only marked lines count.
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

/// The limit for operations that should take only a moment.
const PATIENCE: Duration = Duration::from_secs(60);
