//! Whether a log looks like that of a raft node (`docs/openraft.md`, "Records").

use tidewal::Record;
use tidewal::tools::{Observer, Progress};

/// Who writes the records of a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    Raft,
    Other,
    /// No record was looked at: none can be read, or all are too large.
    Unknown,
}

/// Checks the records, and passes the progress to another observer.
pub struct RaftLook<O> {
    observer: O,
    records: u64,
    others: u64,
}

impl<O: Observer> RaftLook<O> {
    pub fn new(observer: O) -> Self {
        Self {
            observer,
            records: 0,
            others: 0,
        }
    }

    /// Who writes such records. It is a raft node if each record that was looked at is one that a raft node writes.
    pub fn owner(&self) -> Owner {
        match (self.records, self.others) {
            (0, 0) => Owner::Unknown,
            (_, 0) => Owner::Raft,
            _ => Owner::Other,
        }
    }
}

impl<O: Observer> Observer for RaftLook<O> {
    fn progress(&mut self, progress: Progress) {
        self.observer.progress(progress);
    }

    fn record(&mut self, record: Record) {
        match is_of_raft(&record) {
            true => self.records += 1,
            false => self.others += 1,
        }
    }

    /// One other record is enough to decide.
    fn wants_records(&self) -> bool {
        self.others == 0
    }

    fn max_payload_size(&self) -> u64 {
        LARGEST
    }
}

/// The largest payload in bytes that is checked. A larger one would have to be in memory as a whole. A raft node
/// also writes small records: votes, committed log ids, checkpoints.
const LARGEST: u64 = 1024 * 1024;

/// Whether a record begins with a version, a kind, the group (in a log of many groups) and a number
/// that is at most the record's LSN.
fn is_of_raft(record: &Record) -> bool {
    let payload = &record.payload;
    let (kinds, number) = match payload.first() {
        Some(1) => (1..=6, payload.get(2..10)),
        Some(2) => (1..=8, payload.get(10..18)),
        _ => return false,
    };
    let number = number.and_then(|bytes| bytes.try_into().ok());
    number.is_some_and(|number| {
        let number = u64::from_le_bytes(number);
        kinds.contains(&payload[1]) && (1..=record.lsn.get()).contains(&number)
    })
}

/// What to know before a log is repaired of which no record tells who writes it.
pub const UNKNOWN: &str = "No record that can be read tells whether this is the log of a raft node. If it is, do \
    not repair it (docs/openraft.md)";

/// What to do about a raft node whose log is damaged.
pub const HINT: &str = "it looks like the log of a raft node: do not repair it, because the node would \
    forget votes and entries that it has promised to keep. Remove the node from the cluster, and add a new \
    one (docs/openraft.md)";
