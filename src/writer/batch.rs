//! A group commit as a chain of types: [`Batch`] - encode -> [`Encoded`] - write -> [`Written`] - absorb
//! -> [`Unsynced`] - sync -> [`Durable`].
//!
//! From the encoded bytes on, each step consumes the one before it. Only the last one can
//! acknowledge, because it needs a [`Synced`] receipt: without it, neither an append nor a sync can
//! be answered with `Ok`. If a step fails, its appends are answered with the cause.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, IoFailure};
use crate::feed::Publisher;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::options::Durability;
use crate::queue::Inbox;
use crate::queue::ack_guard::{AckQueue, PlacedAcks, WrittenAcks};
use crate::queue::append::AppendNote;
use crate::queue::completion::Completion;
use crate::queue::cost::Cost;
use crate::queue::frames::Frames;
use crate::queue::ordered::Refusals;
use crate::small_deque::SmallDeque;
use crate::stats::FlushCause;
use crate::stats::figures::BatchFacts;
use crate::stats::latency::Latencies;
use crate::storage::{Present, Synced, Wrote};
use crate::writer::segment::Segment;

/// Appends to be written together, and the sync requests that came after them.
pub(super) struct Batch {
    notes: SmallDeque<AppendNote>,
    /// The frames of the appends in `notes`.
    pub(super) frames: Frames,
    /// The obligation to answer the appends.
    pub(super) acks: AckQueue,
    pub(super) syncs: Vec<SyncWaiter>,
    pub(super) cost: Cost,
    /// The room in the queue that its appends take.
    pub(super) places: Cost,
    pub(super) due: Due,
    /// Whether a caller is waiting for the write only.
    pub(super) is_written_wanted: bool,
    /// Why it is written next.
    pub(super) cause: FlushCause,
}

/// When something must be synced.
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
    /// An empty batch that reuses the memory of these empty frames.
    pub(super) fn new(frames: Frames) -> Self {
        Self {
            notes: SmallDeque::default(),
            frames,
            acks: AckQueue::default(),
            syncs: Vec::new(),
            cost: Cost::default(),
            places: Cost::default(),
            due: Due::Never,
            is_written_wanted: false,
            cause: FlushCause::WriterIdle,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.syncs.is_empty()
    }

    /// Adds appends. Their frames and the obligation to answer them are added afterwards.
    pub(super) fn push(&mut self, note: AppendNote, places: Cost, due: Due) {
        self.cost += note.cost;
        self.places += places;
        self.due = if is_active(Mutant::WindowRestarted) {
            due
        } else {
            self.due.min(due)
        };
        self.is_written_wanted |= note.durability == Durability::Written;
        self.notes.push(note);
    }

    pub(super) fn push_sync(&mut self, done: Completion<Lsn>) {
        self.due = Due::Now;
        self.syncs.push(SyncWaiter {
            done,
            refused: None,
        });
    }

    /// Bytes that the next append takes in a segment.
    pub(super) fn next_len(&self) -> Option<u64> {
        let next = self.frames.costs_from(0).next();
        next.map(|cost| cost.bytes as u64)
    }

    /// Takes the appends that fit into the segment, and completes their frames. The first one must
    /// fit.
    pub(super) fn encode(&mut self, segment: &Segment, durable: Lsn) -> Encoded {
        let (notes, cost) = self.take_fitting(segment.room());
        let mut frames = Frames::default();
        self.frames.move_to(&mut frames, cost.bytes);
        let mut acks = AckQueue::default();
        self.acks.move_to(&mut acks, cost.records as u64);
        let next = frames.complete(segment.key(), segment.next(), durable);
        let mut encoded = Encoded {
            frames,
            next,
            placed: acks.place(segment.next()),
            appends: 0,
            payload_bytes: 0,
            latencies: ByDurability::default(),
            is_written_wanted: self.is_written_wanted,
            cause: std::mem::replace(&mut self.cause, FlushCause::Rotation),
        };
        notes.iter().for_each(|note| encoded.note(note));
        encoded
    }

    /// The notes of the first appends that fit into `room` bytes, and their cost.
    fn take_fitting(&mut self, room: u64) -> (SmallDeque<AppendNote>, Cost) {
        let (mut notes, mut cost) = (SmallDeque::default(), Cost::default());
        while let Some(front) = self.notes.front_mut() {
            let left = usize::try_from(room).unwrap_or(usize::MAX) - cost.bytes;
            let fits = |next: Cost| next.bytes <= left;
            let note = match fits(front.cost) {
                true => self.notes.pop_front(),
                false => front.split_front(self.frames.costs_from(cost.bytes), fits),
            };
            let Some(note) = note else { break };
            cost += note.cost;
            notes.push(note);
        }
        (notes, cost)
    }

    /// The number of appends that are not encoded yet.
    pub(super) fn len(&self) -> usize {
        self.notes.iter().map(|note| note.appends).sum()
    }

    /// Refuses the appends that were not encoded. These are certainly not appended. What was written
    /// earlier is still synced when it is due, and the sync requests after the appends are refused then.
    ///
    /// Appends that rely on a refused one are refused wherever they are.
    pub(super) fn refuse(&mut self, error: &Error) {
        let cause = Arc::new(error.clone());
        let mut refusals = Refusals::of(&mut self.acks);
        for note in self.notes.drain() {
            let records = note.cost.records as u64;
            refusals.refuse(note.order.as_ref(), records, &cause);
        }
        drop(refusals);
        self.frames = Frames::default();
        for sync in &mut self.syncs {
            sync.refused = Some(error.clone());
        }
    }
}

/// A caller that requested a sync.
pub(super) struct SyncWaiter {
    pub(super) done: Completion<Lsn>,
    /// The refusal of a record that was to be synced with it, if any.
    refused: Option<Error>,
}

impl SyncWaiter {
    /// Answers after everything that was not refused is on disk, so the caller may rely on that.
    fn answer(self, durable: DurableUpTo) {
        match self.refused {
            None => self.done.durable(durable.lsn, durable.synced),
            Some(error) => self.done.fail(error),
        }
    }

    fn fail(self, fault: &IoFailure) {
        self.done.fail(Error::OutcomeUnknown(fault.clone()));
    }
}

/// Appends as the bytes to be written to the file.
pub(super) struct Encoded {
    frames: Frames,
    next: Lsn,
    placed: SmallDeque<PlacedAcks>,
    appends: u64,
    payload_bytes: u64,
    latencies: ByDurability,
    is_written_wanted: bool,
    cause: FlushCause,
}

impl Encoded {
    fn note(&mut self, note: &AppendNote) {
        self.appends += note.appends as u64;
        self.payload_bytes += note.payload_bytes();
        self.latencies.note(note);
    }

    /// Writes the bytes to the file. Returns their buffer for reuse, or the appends whose outcome
    /// is unknown.
    pub(super) fn write(
        self,
        segment: Segment,
        inbox: &Inbox,
        now: impl FnOnce() -> Instant,
    ) -> Result<(Segment, Written, Frames), (IoFailure, SmallDeque<PlacedAcks>)> {
        let records = self.next.since(segment.next());
        match self.hand_over(segment) {
            Ok((segment, receipt, present)) => {
                self.count(records, inbox, now);
                let written = Written {
                    placed: self.placed,
                    latencies: self.latencies.durable,
                    next: self.next,
                    receipt,
                    present,
                };
                Ok((segment, written, self.frames))
            }
            Err(fault) => Err((fault, self.placed)),
        }
    }

    /// Checks that the file is still present only if a caller is waiting for the write.
    fn hand_over(&self, segment: Segment) -> Result<(Segment, Wrote, Option<Present>), IoFailure> {
        let (segment, receipt) = segment.write(&self.frames, self.next)?;
        let present = match self.is_written_wanted {
            true => Some(segment.check_present()?),
            false => None,
        };
        Ok((segment, receipt, present))
    }

    fn count(&self, records: u64, inbox: &Inbox, now: impl FnOnce() -> Instant) {
        let counters = inbox.counters();
        counters.note_batch(&BatchFacts {
            cause: self.cause,
            appends: self.appends,
            records,
            payload_bytes: self.payload_bytes,
            bytes: self.frames.len() as u64,
        });
        if !self.latencies.written.is_empty() {
            counters.note_latencies(&self.latencies.written, now());
        }
    }
}

/// The submission times of appends that wait for a sync, and of those that wait for the write only.
#[derive(Default)]
struct ByDurability {
    durable: Latencies,
    written: Latencies,
}

impl ByDurability {
    fn note(&mut self, note: &AppendNote) {
        let latencies = match note.durability {
            Durability::Durable => &mut self.durable,
            Durability::Written => &mut self.written,
        };
        latencies.note(note.submitted, note.weight);
    }
}

/// Appends that survive a killed process.
pub(super) struct Written {
    placed: SmallDeque<PlacedAcks>,
    latencies: Latencies,
    next: Lsn,
    receipt: Wrote,
    /// Present if a caller is waiting for the write.
    present: Option<Present>,
}

/// Everything that was written and is not synced yet.
pub(super) struct Unsynced {
    appends: SmallDeque<WrittenAcks>,
    latencies: Latencies,
    syncs: Vec<SyncWaiter>,
    /// The last record written, or `None` if everything written is synced.
    upto: Option<Lsn>,
    pub(super) due: Due,
}

impl Unsynced {
    pub(super) fn new() -> Self {
        Self {
            appends: SmallDeque::default(),
            latencies: Latencies::default(),
            syncs: Vec::new(),
            upto: None,
            due: Due::Never,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.upto.is_none()
    }

    /// Answers the appends that wait for the write only. The others wait for a sync.
    pub(super) fn absorb(&mut self, written: Written, due: Due) {
        let Written {
            placed,
            latencies,
            next,
            receipt,
            present,
        } = written;
        self.latencies.absorb(latencies);
        self.make_room(placed.len());
        let on_file = placed.into_iter().map(|placed| {
            let mut on_file = placed.on_file(receipt);
            present
                .into_iter()
                .for_each(|present| on_file.written(present));
            on_file
        });
        self.appends.extend(on_file);
        self.upto = Some(next.prev());
        self.due = self.due.min(due);
    }

    pub(super) fn push_syncs(&mut self, syncs: &mut Vec<SyncWaiter>) {
        self.syncs.append(syncs);
    }

    /// The last record written that is not synced.
    pub(super) fn upto(&self) -> Option<Lsn> {
        self.upto
    }

    /// The one place where written records become durable: by the receipt of the sync that came
    /// after.
    pub(super) fn synced(self, upto: Lsn, synced: Synced) -> Durable {
        let upto = DurableUpTo { lsn: upto, synced };
        Durable {
            upto,
            appends: self.appends,
            latencies: self.latencies,
            syncs: self.syncs,
        }
    }

    /// Answers sync requests when there is nothing to sync.
    pub(super) fn answer_syncs(&mut self, durable: DurableUpTo) {
        self.syncs.drain(..).for_each(|sync| sync.answer(durable));
    }

    pub(super) fn fail(&mut self, fault: &IoFailure) {
        self.appends.drain().for_each(|append| append.fail(fault));
        self.syncs.drain(..).for_each(|sync| sync.fail(fault));
    }

    /// Dropped callers need no answer. Removing them before the list would grow keeps it in
    /// proportion to the futures that callers still hold, however late the sync comes.
    fn make_room(&mut self, more: usize) {
        if self.appends.len() + more > self.appends.capacity() {
            self.appends.retain(WrittenAcks::is_awaited);
            // Doubles the room, so the remaining entries are not examined again for each new one.
            self.appends.reserve(more.max(self.appends.len()));
        }
    }
}

/// Appends that are on disk.
pub(super) struct Durable {
    upto: DurableUpTo,
    appends: SmallDeque<WrittenAcks>,
    latencies: Latencies,
    syncs: Vec<SyncWaiter>,
}

impl Durable {
    /// Publishes the durable LSN and the records, then answers all callers. Returns how many
    /// callers were waiting for an append.
    pub(super) fn acknowledge(
        self,
        inbox: &Inbox,
        feed: &mut Publisher,
        now: Instant,
    ) -> (DurableUpTo, usize) {
        let Self {
            upto,
            appends,
            latencies,
            syncs,
        } = self;
        inbox.counters().note_latencies(&latencies, now);
        inbox.publish(upto.lsn);
        feed.publish(upto.lsn, upto.synced);
        let woken = appends.into_iter().map(|append| upto.answer(append)).sum();
        syncs.into_iter().for_each(|sync| sync.answer(upto));
        (upto, woken)
    }
}

/// How far the log is durable, and the proof.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurableUpTo {
    lsn: Lsn,
    synced: Synced,
}

impl DurableUpTo {
    /// The end that recovery found and [`adopt`](crate::writer::adopt) has synced.
    pub(super) fn adopted(lsn: Lsn, synced: Synced) -> Self {
        Self { lsn, synced }
    }

    pub(super) fn lsn(self) -> Lsn {
        self.lsn
    }

    pub(super) fn receipt(self) -> Synced {
        self.synced
    }

    /// Answers callers that their records are on disk. Returns how many were waiting.
    fn answer(self, append: WrittenAcks) -> usize {
        assert!(
            append.last() <= self.lsn,
            "only what is durable is acknowledged"
        );
        append.durable(self.synced)
    }
}
