//! Lives of one log that all end by `kill -9`.

use std::path::Path;
use std::thread;
use std::time::Duration;

use tidewal::{Error, TornTailReason};

use super::child::Orders;
use super::environment::read;
use super::history::{History, Loss};
use super::process::{Event, Process};
use super::random::Random;

/// The faults that a child may meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// Every append succeeds until the process is killed.
    None,
    /// The disk may be full. On a copy-on-write file system this may end the log.
    FullDisk { copies_on_write: bool },
    /// The disk may stop working.
    DeadDisk,
}

impl Trouble {
    fn explains(self, event: &Event) -> bool {
        match self {
            Self::None => !event.is_failure() && !matches!(event, Event::Full(_)),
            Self::FullDisk { copies_on_write } => {
                copies_on_write || !event.is_failure() || event.is_without_room()
            }
            Self::DeadDisk => !matches!(event, Event::Full(_)),
        }
    }
}

/// When a child is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Death {
    /// This long after it was started: while it is being loaded or recovers the log.
    Started(Duration),
    /// This long after it began to read the log.
    Reading(Duration),
    /// This long after it began to adopt the log.
    Recovered(Duration),
    /// This long after it began to append.
    Open(Duration),
    /// After this many acknowledgments, and this much later.
    Acknowledged(u64, Duration),
    /// This long after it began to truncate.
    Truncating(Duration),
    /// After this many appends failed because the disk was full, or after the log has ended.
    Full(u64),
    /// When the child has noticed that the disk fails, or after this many acknowledgments.
    Failed(u64),
}

impl Death {
    /// More than half of the children die under load, the others while they start.
    pub fn by_chance(random: &mut Random) -> Self {
        let delay = Duration::from_micros(random.below(1000));
        match random.below(12) {
            0 => Self::Started(delay * 12),
            1 => Self::Reading(delay * 3),
            2 | 3 => Self::Recovered(delay),
            4 => Self::Open(delay * 3),
            5 => Self::Truncating(delay),
            _ => Self::Acknowledged(1 + random.of_any_size(12), delay / 2),
        }
    }

    /// How long to wait after this event, or `None` if it is not time yet.
    fn comes_after(&mut self, event: &Event) -> Option<Duration> {
        match (self, event) {
            (Self::Reading(delay), Event::Reading)
            | (Self::Recovered(delay), Event::Recovered)
            | (Self::Open(delay), Event::Open)
            | (Self::Truncating(delay), Event::Truncating(_)) => Some(*delay),
            (Self::Acknowledged(left, delay), event) if event.is_acknowledgement() => {
                count_down(left, *delay)
            }
            (Self::Full(left), Event::Full(_)) => count_down(left, Duration::ZERO),
            (Self::Failed(_), event) if event.is_failure() => Some(Duration::ZERO),
            (Self::Failed(left), event) if event.is_acknowledgement() => {
                count_down(left, Duration::ZERO)
            }
            _ => None,
        }
    }
}

fn count_down(left: &mut u64, delay: Duration) -> Option<Duration> {
    *left -= 1;
    (*left == 0).then_some(delay)
}

/// One log, and what is known about it.
pub struct Campaign {
    pub history: History,
    pub random: Random,
    orders: Orders,
    trouble: Trouble,
}

impl Campaign {
    /// `keep` is how many records the children keep when they truncate, or 0 if they never
    /// truncate.
    pub fn new(dir: &Path, seed: u64, keep: u64, trouble: Trouble) -> Self {
        let orders = Orders {
            dir: dir.into(),
            seed,
            life: 0,
            keep,
        };
        Self {
            history: History::new(seed),
            random: Random::new(seed),
            orders,
            trouble,
        }
    }

    /// Changes the faults and `keep` from now on.
    pub fn meet(&mut self, trouble: Trouble, keep: u64) {
        self.trouble = trouble;
        self.orders.keep = keep;
    }

    /// Starts a child, kills it, and reads its remaining output.
    pub fn live(&mut self, death: Death) {
        self.orders.life += 1;
        self.history.begin(self.orders.life);
        println!(
            "seed {}, life {}: {death:?}",
            self.orders.seed, self.orders.life
        );
        let mut child = Process::start(&self.orders);
        thread::sleep(self.wait_for(death, &mut child));
        child.kill();
        while let Some(event) = child.next_event() {
            self.note(&event);
        }
    }

    fn wait_for(&mut self, mut death: Death, child: &mut Process) -> Duration {
        if let Death::Started(delay) = death {
            return delay;
        }
        while let Some(event) = child.next_event() {
            self.note(&event);
            if let Some(delay) = death.comes_after(&event) {
                return delay;
            }
        }
        assert_ne!(self.trouble, Trouble::None, "the child has ended");
        Duration::ZERO
    }

    fn note(&mut self, event: &Event) {
        assert!(self.trouble.explains(event), "{event:?}");
        self.history.note(event);
    }

    /// Reads the log and checks it.
    pub fn check(&mut self, loss: Loss) {
        let (records, report) = match read(&self.orders.dir) {
            // The child was killed before it created the directory.
            Err(Error::Io(_)) if matches!(self.orders.dir.try_exists(), Ok(false)) => {
                Default::default()
            }
            read => read.expect("P4: what was not acknowledged does no harm"),
        };
        self.history.check(&records, loss);
        let reason = report.torn_tail.map(|cut| cut.reason);
        let is_torn = matches!(
            reason,
            Some(TornTailReason::TornRecord | TornTailReason::TornBatch)
        );
        self.history.counts.torn += u64::from(is_torn);
    }
}
