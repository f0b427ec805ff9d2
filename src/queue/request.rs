//! What callers ask of the writer.

use std::collections::VecDeque;
use std::ops::{Add, AddAssign, SubAssign};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::Error;
use crate::format::frame;
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::queue::answers::Claims;
use crate::queue::completion::Completion;
use crate::queue::order::Order;

/// A request. Those that ask for something come with the duty to answer; that for appends is in
/// [`Taken::claims`].
pub(crate) enum Request {
    Append(Append),
    /// Sync what was submitted before, and tell the last durable LSN.
    Sync(Completion<Lsn>),
    /// Free what lies below an LSN.
    Truncate(Lsn, Completion<()>),
    /// Finish the segment that is being written, if its first record is as old as that.
    Rotate(Duration, Completion<()>),
    /// A hold has moved: carry out what it put off.
    TruncatePutOff,
    /// A caller waits for room: do not wait for the end of an interval.
    Hurry,
    /// Take no more requests.
    Close,
}

impl Request {
    /// Answers that nothing was done. The answers to appends are [`Claims`].
    fn refuse(self, error: &Error) {
        match self {
            Self::Sync(done) => done.fail(error.clone()),
            Self::Truncate(_, done) | Self::Rotate(_, done) => done.fail(error.clone()),
            Self::Append(_) | Self::Hurry | Self::TruncatePutOff | Self::Close => {}
        }
    }
}

/// Requests that were taken out of the queue, and the duty to answer the appends among them.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) requests: VecDeque<Request>,
    pub(crate) claims: Claims,
}

impl Taken {
    /// Empties the queue, and leaves it as much memory as it is likely to need again.
    pub(super) fn take_from(&mut self, queue: &mut VecDeque<Request>) {
        if self.requests.is_empty() {
            std::mem::swap(&mut self.requests, queue);
        } else {
            self.requests.append(queue);
        }
        queue.shrink_to(KEPT_CAPACITY);
    }

    /// Answers that nothing was done.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.claims.refuse(error);
        self.requests
            .drain(..)
            .for_each(|request| request.refuse(error));
    }
}

/// One record, or an atomic batch of them.
pub(crate) struct Append {
    pub(crate) entries: Entries,
    pub(crate) durability: Durability,
    /// The sequence that it belongs to, if it relies on others.
    pub(crate) order: Option<Order>,
    /// When it was submitted, if the policy needs to know or it is timed.
    pub(crate) submitted: Option<Instant>,
    /// How many appends it stands for where times are counted; 0 if it is not timed.
    pub(crate) weight: u32,
}

impl Append {
    pub(crate) fn cost(&self) -> Cost {
        self.entries.cost()
    }

    /// The payload of its first record, which is the only one unless it is a batch.
    pub(crate) fn into_payload(self) -> Bytes {
        match self.entries {
            Entries::One(entry) => entry.payload,
            Entries::Many(entries) => entries
                .into_iter()
                .next()
                .map(|e| e.payload)
                .unwrap_or_default(),
        }
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

impl Cost {
    pub(crate) fn fits(self, size: Self) -> bool {
        self.bytes <= size.bytes && self.records <= size.records
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.records += other.records;
    }
}

impl SubAssign for Cost {
    fn sub_assign(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.records -= other.records;
    }
}

/// Requests for which an empty queue keeps room.
const KEPT_CAPACITY: usize = 8192;
