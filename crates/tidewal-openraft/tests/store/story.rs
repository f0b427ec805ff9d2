//! The lives of one disk: each is a process that works on it and ends somehow. A life can be lived
//! under either version of openraft.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Lsn};

use crate::model::{Model, Past};
use crate::rng::Rng;
use crate::support::{DIR, options};

/// What one life leaves to the next.
pub struct Story {
    pub disk: SimDisk,
    pub rng: Rng,
    pub past: Past,
}

/// What one life of many groups leaves to the next.
pub struct Groups {
    pub disk: SimDisk,
    pub rng: Rng,
    pub pasts: BTreeMap<u64, Past>,
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Peaceful,
    Cut(u64),
    Kill(Duration),
}

/// Counts of events in all runs.
#[derive(Debug, Default)]
pub struct Seen {
    pub calls: Calls,
    pub cuts: u64,
    pub kills: u64,
    /// Lives that a full disk ended.
    pub full: u64,
    /// Logs with void records.
    pub voids: u64,
    /// Logs that were truncated.
    pub truncated: u64,
}

/// Counts of events in all runs of many groups.
#[derive(Debug, Default)]
pub struct GroupsSeen {
    pub calls: Calls,
    pub cuts: u64,
    pub removals: u64,
    /// Groups that a full disk ended, until the log is opened again.
    pub full: u64,
    /// Calls that succeeded after another group had failed.
    pub spared: u64,
    /// Logs that were truncated.
    pub truncated: u64,
}

/// Counts of calls.
#[derive(Debug, Default)]
pub struct Calls {
    pub all: u64,
    pub votes: u64,
    pub truncations: u64,
    pub purges: u64,
    /// The most appends that were in flight at once, in one log.
    pub most_in_flight: usize,
}

impl Story {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            rng: Rng::new(seed),
            past: Past::default(),
        }
    }

    /// Decides how the next life ends.
    pub fn choose_end(&mut self) -> End {
        let end = match self.rng.roll(5) {
            0 => End::Peaceful,
            1 | 2 => End::Kill(Duration::from_micros(self.rng.roll(8000))),
            _ => End::Cut(self.rng.roll(90)),
        };
        if let End::Cut(after) = end {
            self.disk.cut_power_at(self.disk.operations() + after);
        }
        end
    }

    /// Prepares the disk for the next life.
    pub fn restart(&mut self, end: End, seen: &mut Seen) {
        seen.kills += u64::from(matches!(end, End::Kill(_)));
        seen.cuts += u64::from(self.disk.is_off());
        if self.disk.is_off() || self.rng.once_in(3) {
            self.disk.restart(Survival::Random);
        }
        self.disk.set_quota(None);
    }

    /// The bytes of the files.
    pub fn used(&self) -> u64 {
        used(&self.disk)
    }

    /// Checks the numbers of a crashed log's records, in bytes 2 to 9.
    pub async fn look(&self, seen: &mut Seen) {
        let mut reader = match options().read_on(&self.disk, DIR).await {
            Ok(reader) => reader,
            // A process that is killed at once has created no directory, and promised nothing.
            Err(Error::Io(fault)) if fault.io_error().kind() == ErrorKind::NotFound => {
                return assert_eq!(self.past.now(), Model::default());
            }
            Err(error) => panic!("{error:?}"),
        };
        let mut next = None;
        let mut voids = 0;
        while let Some(record) = reader.try_next().await.unwrap() {
            let number = u64::from_le_bytes(record.payload[2..10].try_into().unwrap());
            if next.is_none_or(|next| next == number) {
                next = Some(number + 1);
            } else {
                voids += 1;
            }
        }
        seen.voids += u64::from(voids > 0);
        seen.truncated += u64::from(reader.report().oldest > Lsn::FIRST);
    }
}

impl Groups {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            rng: Rng::new(seed),
            pasts: BTreeMap::new(),
        }
    }

    /// Whether the log was truncated.
    pub async fn look(&self) -> bool {
        let mut reader = options().read_on(&self.disk, DIR).await.unwrap();
        while reader.try_next().await.unwrap().is_some() {}
        reader.report().oldest > Lsn::FIRST
    }
}

/// The bytes of the files in the log's directory.
pub fn used(disk: &SimDisk) -> u64 {
    let files = disk.files(DIR).into_iter();
    files
        .filter_map(|name| disk.read(format!("{DIR}/{name}")))
        .map(|bytes| bytes.len() as u64)
        .sum()
}
