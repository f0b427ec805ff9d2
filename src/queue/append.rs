//! Appends as callers prepare them, and the notes about them in the queue.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::format::frame::{self, Draft, Kind};
use crate::options::Durability;
use crate::queue::cost::Cost;
use crate::queue::frames::Frames;
use crate::queue::ordered::Order;

/// One record or atomic batch before it is in the queue.
pub(crate) struct Append {
    pub(crate) payloads: Payloads,
    pub(crate) durability: Durability,
    /// The ordered sequence that it belongs to, if any.
    pub(crate) order: Option<Order>,
    /// When it was submitted, if the policy needs that or it is timed.
    pub(crate) submitted: Option<Instant>,
    /// How many appends it represents in the histogram of append times, or 0 if it is not timed.
    pub(crate) weight: u32,
    /// How long its caller polls for the answer before it sleeps, if it finds the log idle.
    pub(crate) busy_poll: Duration,
}

impl Append {
    pub(crate) fn cost(&self) -> Cost {
        self.payloads.cost()
    }

    /// The payload of its first record, which is the only one unless this is a batch.
    pub(crate) fn into_payload(self) -> Bytes {
        match self.payloads {
            Payloads::One(payload) => payload.bytes,
            Payloads::Many(payloads) => payloads
                .into_iter()
                .next()
                .map(|payload| payload.bytes)
                .unwrap_or_default(),
        }
    }

    /// Adds its frames to `frames`. Payloads that were copied stay here, so the caller drops them
    /// outside of any lock.
    pub(super) fn leave_frames(&mut self, frames: &mut Frames) {
        let (last, parts) = self
            .payloads
            .as_mut_slice()
            .split_last_mut()
            .expect("a record");
        for payload in parts {
            payload.leave_frame(Kind::Part, frames);
        }
        last.leave_frame(Kind::Record, frames);
    }

    /// What the writer must know besides the frames.
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

/// The payloads of one append.
pub(crate) enum Payloads {
    One(Payload),
    Many(Vec<Payload>),
}

impl Payloads {
    fn as_slice(&self) -> &[Payload] {
        match self {
            Self::One(payload) => std::slice::from_ref(payload),
            Self::Many(payloads) => payloads,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Payload] {
        match self {
            Self::One(payload) => std::slice::from_mut(payload),
            Self::Many(payloads) => payloads,
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        let payloads = self.as_slice();
        Cost {
            records: payloads.len(),
            bytes: payloads.iter().map(Payload::encoded_len).sum(),
        }
    }
}

/// A payload and its checksum, which the caller's task has computed.
pub(crate) struct Payload {
    bytes: Bytes,
    len: usize,
    crc: u32,
}

impl Payload {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let (len, crc) = (bytes.len(), crc32fast::hash(&bytes));
        Self { bytes, len, crc }
    }

    /// The length of the record in the log.
    fn encoded_len(&self) -> usize {
        self.len + frame::HEADER_LEN
    }

    fn leave_frame(&mut self, kind: Kind, frames: &mut Frames) {
        let len = u32::try_from(self.len).expect("a record fits a segment");
        let crc = self.crc;
        frames.push(Draft { kind, len, crc }, &mut self.bytes);
    }
}

/// A note about appends whose frames are next to each other. Appends that are treated alike share
/// one note, so a thousand of them cost a few.
pub(crate) struct AppendNote {
    pub(crate) appends: usize,
    pub(crate) cost: Cost,
    pub(crate) durability: Durability,
    /// The ordered sequence that they belong to, if any.
    pub(crate) order: Option<Order>,
    /// When the first of them was submitted, if the policy needs that or it is timed.
    pub(crate) submitted: Option<Instant>,
    /// As in [`Append`]. A timed append has a note of its own.
    pub(crate) weight: u32,
}

impl AppendNote {
    /// Merges the next note into this one, or returns it if it must be treated differently.
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
        // An append that had to wait for room may have been submitted earlier.
        self.submitted = self.submitted.min(next.submitted);
        None
    }

    /// Splits off the first appends, as many as are allowed together. `costs` has the cost of each.
    /// Returns `None` if not even the first one is allowed.
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
