//! Whether a log looks like that of a raft node (`docs/openraft.md`, "Records").

use tidewal::Record;
use tidewal::tools::{Observer, Progress};

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

    /// Whether every record that can be read is one that a raft node writes.
    pub fn is_raft(&self) -> bool {
        self.records > 0 && self.others == 0
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

/// The largest payload in bytes that is checked. A larger one would have to be in memory as a whole, and
/// says nothing: a log that has only larger ones is not recognized.
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

/// What to do about a raft node whose log is damaged.
pub const HINT: &str = "it looks like the log of a raft node: do not repair it, because the node would \
    forget votes and entries that it has promised to keep. Remove the node from the cluster, and add a new \
    one (docs/openraft.md)";
