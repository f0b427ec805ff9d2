//! What callers ask of the writer.

use std::ops::AddAssign;
use std::time::Instant;

use bytes::Bytes;

use crate::error::Error;
use crate::format::frame;
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::queue::completion::Completion;

/// A request and the duty to answer it.
pub(crate) enum Request {
    Append(Append),
    /// Sync what was submitted before, and tell the last durable LSN.
    Sync(Completion<Lsn>),
    /// Free what lies below an LSN.
    Truncate(Lsn, Completion<()>),
    /// Somebody waits for a place: do not wait for the end of an interval.
    Hurry,
    /// Take no more requests.
    Close,
}

impl Request {
    /// Answers that nothing was done.
    pub(crate) fn refuse(self, error: &Error) {
        match self {
            Self::Append(append) => append.done.fail(error.clone()),
            Self::Sync(done) => done.fail(error.clone()),
            Self::Truncate(_, done) => done.fail(error.clone()),
            Self::Hurry | Self::Close => {}
        }
    }
}

/// One record, or an atomic batch of them.
pub(crate) struct Append {
    pub(crate) entries: Entries,
    pub(crate) durability: Durability,
    /// When it was submitted, if the policy needs to know or it is timed.
    pub(crate) submitted: Option<Instant>,
    /// How many appends it stands for where times are counted; 0 if it is not timed.
    pub(crate) weight: u32,
    /// Answered with the LSN of the last record.
    pub(crate) done: Completion<Lsn>,
}

impl Append {
    pub(crate) fn cost(&self) -> Cost {
        self.entries.cost()
    }
}

/// The records of one append.
pub(crate) enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

impl Entries {
    pub(crate) fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        let entries = self.as_slice();
        Cost {
            records: entries.len(),
            bytes: entries.iter().map(Entry::encoded_len).sum(),
        }
    }
}

/// A payload and its checksum, which the caller's task has computed.
pub(crate) struct Entry {
    pub(crate) payload: Bytes,
    pub(crate) crc: u32,
}

impl Entry {
    pub(crate) fn new(payload: Bytes) -> Self {
        let crc = crc32fast::hash(&payload);
        Self { payload, crc }
    }

    /// Its length in the log.
    pub(crate) fn encoded_len(&self) -> usize {
        self.payload.len() + frame::HEADER_LEN
    }
}

/// What requests take of the queue, and batches of their limits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cost {
    pub(crate) bytes: usize,
    pub(crate) records: usize,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.records += other.records;
    }
}
