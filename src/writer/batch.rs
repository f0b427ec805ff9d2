//! A group commit as a chain of types: [`Batch`] - encode -> [`Encoded`] - write -> [`Written`] - absorb
//! -> [`Unsynced`] - sync -> [`Durable`].
//!
//! From the encoded bytes on each step consumes the one before it, and only the last can acknowledge:
//! there is no other way to a [`Synced`] receipt, without which a [`Completion`] gives no good news.
//! What fails on the way answers its callers with the cause.

use std::collections::VecDeque;
use std::time::Instant;

use crate::error::{Error, Fault};
use crate::format::frame::{Frame, Kind, Lag};
use crate::lsn::Lsn;
use crate::options::Durability;
use crate::planted::{Bug, is_planted};
use crate::queue::Inbox;
use crate::queue::completion::Completion;
use crate::queue::request::{Append, Cost, Entry};
use crate::stats::FlushCause;
use crate::stats::counters::BatchFacts;
use crate::stats::latency::Latencies;
use crate::storage::{Synced, Wrote};
use crate::writer::segment::Segment;

/// Appends that are to be written together, and requests to sync that came after them.
pub(super) struct Batch {
    appends: VecDeque<Append>,
    pub(super) syncs: Vec<Completion<Lsn>>,
    pub(super) cost: Cost,
    /// What its appends take of the queue's budget.
    pub(super) places: Cost,
    pub(super) due: Due,
    /// Whether somebody waits for the write only.
    pub(super) is_written_wanted: bool,
    /// Why its next write comes.
    pub(super) cause: FlushCause,
}

/// When something has to be synced.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Due {
    Now,
    At(Instant),
    Never,
}

impl Due {
    pub(super) fn is_reached(self, now: impl FnOnce() -> Instant) -> bool {
        match self {
            Self::Now => true,
            Self::At(time) => time <= now(),
            Self::Never => false,
        }
    }

    pub(super) fn time(self) -> Option<Instant> {
        if let Self::At(time) = self {
            Some(time)
        } else {
            None
        }
    }
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            appends: VecDeque::new(),
            syncs: Vec::new(),
            cost: Cost::default(),
            places: Cost::default(),
            due: Due::Never,
            is_written_wanted: false,
            cause: FlushCause::DiskFree,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.syncs.is_empty()
    }

    pub(super) fn push(&mut self, append: Append, place: Cost, due: Due) {
        self.cost += append.cost();
        self.places += place;
        self.due = if is_planted(Bug::WindowRestarted) {
            due
        } else {
            self.due.min(due)
        };
        self.is_written_wanted |= append.durability == Durability::Written;
        self.appends.push_back(append);
    }

    pub(super) fn push_sync(&mut self, done: Completion<Lsn>) {
        self.due = Due::Now;
        self.syncs.push(done);
    }

    /// Bytes that the next append takes in a segment.
    pub(super) fn next_len(&self) -> Option<u64> {
        self.appends
            .front()
            .map(|append| append.cost().bytes as u64)
    }

    /// Takes out the appends that fit into the segment, and encodes them into `buffer`.
    pub(super) fn encode(&mut self, segment: &Segment, durable: Lsn, buffer: Vec<u8>) -> Encoded {
        let mut encoder = Encoder {
            segment,
            durable,
            next: segment.next(),
            buffer,
        };
        let mut waiters = Vec::with_capacity(self.appends.len());
        let mut latencies = ByDurability::default();
        let mut payload_bytes = 0;
        while self
            .next_len()
            .is_some_and(|len| encoder.len() + len <= segment.room())
            && let Some(append) = self.appends.pop_front()
        {
            payload_bytes += encoder.encode(append.entries.as_slice());
            let Append {
                durability, done, ..
            } = append;
            latencies
                .of(durability)
                .note(append.submitted, append.weight);
            waiters.push(Waiter {
                lsn: encoder.next.prev(),
                durability,
                done,
            });
        }
        let Encoder { next, buffer, .. } = encoder;
        Encoded {
            buffer,
            next,
            waiters,
            latencies,
            payload_bytes,
            cause: std::mem::replace(&mut self.cause, FlushCause::Rotation),
        }
    }

    /// How many appends are not encoded yet.
    pub(super) fn len(&self) -> usize {
        self.appends.len()
    }

    /// Answers what was not encoded: it is certainly not appended.
    pub(super) fn refuse(&mut self, error: &Error) {
        self.refuse_appends(error);
        self.syncs
            .drain(..)
            .for_each(|done| done.fail(error.clone()));
    }

    /// As [`refuse`](Self::refuse), but syncs are still served.
    pub(super) fn refuse_appends(&mut self, error: &Error) {
        self.appends
            .drain(..)
            .for_each(|append| append.done.fail(error.clone()));
    }
}

/// Lays records out as frames.
struct Encoder<'a> {
    segment: &'a Segment,
    durable: Lsn,
    next: Lsn,
    buffer: Vec<u8>,
}

impl Encoder<'_> {
    /// Bytes encoded so far.
    fn len(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Encodes the records of one append, all of which are to be kept or none. Returns the bytes of
    /// their payloads.
    fn encode(&mut self, entries: &[Entry]) -> u64 {
        let last = entries.len() - 1;
        let mut payload_bytes = 0;
        for (index, entry) in entries.iter().enumerate() {
            let kind = if index == last {
                Kind::Record
            } else {
                Kind::Part
            };
            self.encode_one(entry, kind);
            payload_bytes += entry.payload.len() as u64;
        }
        payload_bytes
    }

    fn encode_one(&mut self, entry: &Entry, kind: Kind) {
        let frame = Frame {
            kind,
            lsn: self.next,
            len: u32::try_from(entry.payload.len()).expect("a record fits a segment"),
            crc: entry.crc,
            lag: Lag::between(self.next, self.durable),
        };
        self.buffer
            .extend_from_slice(&frame.encode(self.segment.key()));
        self.buffer.extend_from_slice(&entry.payload);
        self.next = self.next.next();
    }
}

/// Appends as the bytes that go to the file.
pub(super) struct Encoded {
    buffer: Vec<u8>,
    next: Lsn,
    waiters: Vec<Waiter>,
    latencies: ByDurability,
    payload_bytes: u64,
    cause: FlushCause,
}

impl Encoded {
    /// Hands the bytes to the operating system. Returns the buffer, for the next batch.
    pub(super) fn write(
        mut self,
        segment: Segment,
        inbox: &Inbox,
        now: impl FnOnce() -> Instant,
    ) -> Result<(Segment, Written, Vec<u8>), Fault> {
        let records = self.next.since(segment.next());
        match segment.write(&self.buffer, self.next) {
            Ok((segment, receipt)) => {
                inbox.counters().note_batch(&self.facts(records));
                if !self.latencies.written.is_empty() {
                    inbox
                        .counters()
                        .note_latencies(&self.latencies.written, now());
                }
                self.buffer.clear();
                Ok((
                    segment,
                    Written {
                        waiters: self.waiters,
                        latencies: self.latencies.durable,
                        next: self.next,
                        receipt,
                    },
                    self.buffer,
                ))
            }
            Err(fault) => {
                self.waiters
                    .into_iter()
                    .for_each(|waiter| waiter.fail(&fault));
                Err(fault)
            }
        }
    }

    fn facts(&self, records: u64) -> BatchFacts {
        BatchFacts {
            cause: self.cause,
            appends: self.waiters.len() as u64,
            records,
            payload_bytes: self.payload_bytes,
            bytes: self.buffer.len() as u64,
        }
    }
}

/// When appends were submitted that wait for a sync, and such that wait for the write only.
#[derive(Default)]
struct ByDurability {
    durable: Latencies,
    written: Latencies,
}

impl ByDurability {
    fn of(&mut self, durability: Durability) -> &mut Latencies {
        match durability {
            Durability::Durable => &mut self.durable,
            Durability::Written => &mut self.written,
        }
    }
}

/// Appends that a killed process does not lose any more.
pub(super) struct Written {
    waiters: Vec<Waiter>,
    latencies: Latencies,
    next: Lsn,
    receipt: Wrote,
}

/// Everything that was written and not yet synced.
pub(super) struct Unsynced {
    waiters: Vec<Waiter>,
    latencies: Latencies,
    syncs: Vec<Completion<Lsn>>,
    /// The last record written; `None` if everything written is synced.
    upto: Option<Lsn>,
    pub(super) due: Due,
}

impl Unsynced {
    pub(super) fn new() -> Self {
        Self {
            waiters: Vec::new(),
            latencies: Latencies::default(),
            syncs: Vec::new(),
            upto: None,
            due: Due::Never,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.upto.is_none()
    }

    /// Answers those who asked for no more than the write; the others wait for a sync.
    pub(super) fn absorb(&mut self, written: Written, due: Due) {
        let Written {
            waiters,
            latencies,
            next,
            receipt,
        } = written;
        self.latencies.absorb(latencies);
        self.make_room(
            waiters
                .iter()
                .filter(|waiter| !waiter.wants_write_only())
                .count(),
        );
        for waiter in waiters {
            if waiter.wants_write_only() {
                waiter.done.written(waiter.lsn, receipt);
            } else {
                self.waiters.push(waiter);
            }
        }
        self.upto = Some(next.prev());
        self.due = self.due.min(due);
    }

    pub(super) fn push_syncs(&mut self, syncs: &mut Vec<Completion<Lsn>>) {
        self.syncs.append(syncs);
    }

    /// The last record written that is not synced.
    pub(super) fn upto(&self) -> Option<Lsn> {
        self.upto
    }

    /// The one line where written becomes durable: by the receipt of the sync that came after.
    pub(super) fn synced(self, upto: Lsn, synced: Synced) -> Durable {
        let upto = DurableUpTo { lsn: upto, synced };
        Durable {
            upto,
            waiters: self.waiters,
            latencies: self.latencies,
            syncs: self.syncs,
        }
    }

    /// Answers those who asked for a sync when there was nothing to sync.
    pub(super) fn answer_syncs(&mut self, durable: DurableUpTo) {
        self.syncs
            .drain(..)
            .for_each(|done| durable.answer(durable.lsn, done));
    }

    pub(super) fn fail(&mut self, fault: &Fault) {
        self.waiters.drain(..).for_each(|waiter| waiter.fail(fault));
        self.syncs
            .drain(..)
            .for_each(|done| done.fail(Error::Failed(fault.clone())));
    }

    /// Callers that have gone need no answer. Forgetting them before the list would grow keeps it in
    /// proportion to the futures that somebody still holds, however late the sync comes.
    fn make_room(&mut self, more: usize) {
        if self.waiters.len() + more > self.waiters.capacity() {
            self.waiters.retain(|waiter| !waiter.done.is_abandoned());
            self.waiters.reserve(more);
        }
    }
}

/// Appends that are on disk.
pub(super) struct Durable {
    upto: DurableUpTo,
    waiters: Vec<Waiter>,
    latencies: Latencies,
    syncs: Vec<Completion<Lsn>>,
}

impl Durable {
    /// Publishes the durable LSN, then answers everybody. Returns how many appends were answered.
    pub(super) fn acknowledge(self, inbox: &Inbox, now: Instant) -> (DurableUpTo, usize) {
        let Self {
            upto,
            waiters,
            latencies,
            syncs,
        } = self;
        inbox.counters().note_latencies(&latencies, now);
        inbox.publish(upto.lsn);
        let count = waiters.len();
        for waiter in waiters {
            upto.answer(waiter.lsn, waiter.done);
        }
        for done in syncs {
            upto.answer(upto.lsn, done);
        }
        (upto, count)
    }
}

/// How far the log is durable, and the proof.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurableUpTo {
    lsn: Lsn,
    synced: Synced,
}

impl DurableUpTo {
    /// What recovery found and [`adopt`](crate::writer::adopt) has synced.
    pub(super) fn adopted(lsn: Lsn, synced: Synced) -> Self {
        Self { lsn, synced }
    }

    pub(super) fn lsn(self) -> Lsn {
        self.lsn
    }

    pub(super) fn receipt(self) -> Synced {
        self.synced
    }

    /// Tells a caller that its record is on disk.
    pub(super) fn answer(self, lsn: Lsn, done: Completion<Lsn>) {
        assert!(lsn <= self.lsn, "only what is durable is acknowledged");
        done.durable(lsn, self.synced);
    }
}

/// A caller whose records are in the file.
struct Waiter {
    /// The last LSN of its append.
    lsn: Lsn,
    durability: Durability,
    done: Completion<Lsn>,
}

impl Waiter {
    fn wants_write_only(&self) -> bool {
        self.durability == Durability::Written
    }

    fn fail(self, fault: &Fault) {
        self.done.fail(Error::Failed(fault.clone()));
    }
}
