//! Appends as their callers prepare them, and what is left of them in the queue.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::format::frame::{self, Draft, Kind};
use crate::options::Durability;
use crate::queue::cost::Cost;
use crate::queue::frames::Frames;
use crate::queue::order::Order;

/// One record, or an atomic batch of them, before it is in the queue.
pub(crate) struct Append {
    pub(crate) entries: Entries,
    pub(crate) durability: Durability,
    /// The sequence that it belongs to, if it relies on others.
    pub(crate) order: Option<Order>,
    /// When it was submitted, if the policy needs to know or it is timed.
    pub(crate) submitted: Option<Instant>,
    /// How many appends it stands for where times are counted; 0 if it is not timed.
    pub(crate) weight: u32,
    /// How long its caller looks for the answer before it sleeps, if it finds the log idle.
    pub(crate) busy_poll: Duration,
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

    /// Leaves its frames here. Payloads that were copied stay with it, to be dropped by the caller
    /// outside of any lock.
    pub(super) fn leave_frames(&mut self, frames: &mut Frames) {
        let (last, parts) = self
            .entries
            .as_mut_slice()
            .split_last_mut()
            .expect("a record");
        for entry in parts {
            entry.leave_frame(Kind::Part, frames);
        }
        last.leave_frame(Kind::Record, frames);
    }

    /// What the writer has to know beside the frames.
    pub(super) fn note(&mut self) -> AppendNote {
        AppendNote {
            appends: 1,
            cost: self.cost(),
            durability: self.durability,
            order: self.order.take(),
            submitted: self.submitted,
            weight: self.weight,
        }
    }
}

/// The records of one append.
pub(crate) enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

impl Entries {
    fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Entry] {
        match self {
            Self::One(entry) => std::slice::from_mut(entry),
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
    payload: Bytes,
    len: usize,
    crc: u32,
}

impl Entry {
    pub(crate) fn new(payload: Bytes) -> Self {
        let (len, crc) = (payload.len(), crc32fast::hash(&payload));
        Self { payload, len, crc }
    }

    /// Its length in the log.
    fn encoded_len(&self) -> usize {
        self.len + frame::HEADER_LEN
    }

    fn leave_frame(&mut self, kind: Kind, frames: &mut Frames) {
        let len = u32::try_from(self.len).expect("a record fits a segment");
        let crc = self.crc;
        frames.push(Draft { kind, len, crc }, &mut self.payload);
    }
}

/// What the queue notes of appends whose frames are next to each other: one note for all that are
/// treated alike, so that a thousand of them cost a few.
pub(crate) struct AppendNote {
    pub(crate) appends: usize,
    pub(crate) cost: Cost,
    pub(crate) durability: Durability,
    /// The sequence that they belong to, if they rely on others.
    pub(crate) order: Option<Order>,
    /// When the first of them was submitted, if the policy needs to know or it is timed.
    pub(crate) submitted: Option<Instant>,
    /// As in [`Append`]. What is timed has a note of its own.
    pub(crate) weight: u32,
}

impl AppendNote {
    /// Takes another one along that comes next, or returns it if it has to be treated otherwise.
    pub(super) fn merge(&mut self, next: Self) -> Option<Self> {
        let is_alike = self.durability == next.durability
            && self.weight == 0
            && next.weight == 0
            && self.order == next.order;
        if !is_alike {
            return Some(next);
        }
        self.appends += next.appends;
        self.cost += next.cost;
        // One that had to wait for its place may have been submitted earlier.
        self.submitted = self.submitted.min(next.submitted);
        None
    }

    /// Cuts off the first appends, as many as may be together. `costs` is what each of them costs. Returns
    /// nothing if even the first one may not.
    pub(crate) fn split_front(
        &mut self,
        costs: impl Iterator<Item = Cost>,
        may_be: impl Fn(Cost) -> bool,
    ) -> Option<Self> {
        let (mut appends, mut front) = (0, Cost::default());
        for cost in costs {
            if !may_be(front + cost) {
                break;
            }
            front += cost;
            appends += 1;
        }
        self.appends -= appends;
        self.cost -= front;
        (appends > 0).then(|| Self {
            appends,
            cost: front,
            order: self.order.clone(),
            ..*self
        })
    }

    pub(crate) fn payload_bytes(&self) -> u64 {
        (self.cost.bytes - self.cost.records * frame::HEADER_LEN) as u64
    }
}
