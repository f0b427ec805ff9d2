//! The obligation to answer appends, as a chain of types: [`PendingAcks`] - place -> [`PlacedAcks`]
//! - on file -> [`WrittenAcks`] - durable.
//!
//! Each type consumes the one before it, and an answer with `Ok` needs a receipt. A type that is
//! dropped answers [`Error::Interrupted`], so no path through the writer can forget a caller.

use std::ops::Range;
use std::sync::Weak;

use crate::error::{Error, IoFailure, Result};
use crate::lsn::Lsn;
use crate::queue::acks::{AckRange, Acks, LsnOffset};
use crate::small_deque::SmallDeque;
use crate::storage::{Present, Synced, Wrote};

/// The obligation to answer a range of appends. However it ends, each append is answered once.
struct AckGuard {
    /// Dropped if no caller is waiting for an answer.
    acks: Weak<Acks>,
    /// The tickets that are not answered yet.
    tickets: Range<u64>,
    /// Whether the appends that wait for the write were answered.
    is_written: bool,
}

impl AckGuard {
    fn settle(mut self, outcome: Result<LsnOffset>) -> usize {
        self.settle_rest(outcome)
    }

    fn settle_rest(&mut self, outcome: Result<LsnOffset>) -> usize {
        let tickets = self.tickets.clone();
        if tickets.is_empty() {
            return 0;
        }
        self.tickets.start = tickets.end;
        let range = AckRange { tickets, outcome };
        let acks = self.acks.upgrade();
        acks.map_or(0, |acks| acks.settle(range, self.is_written))
    }
}

impl Drop for AckGuard {
    fn drop(&mut self) {
        self.settle_rest(Err(Error::Interrupted));
    }
}

/// Appends that are not in a file: the records of a range of tickets.
pub(super) struct PendingAcks(AckGuard);

impl PendingAcks {
    pub(super) fn new(acks: Weak<Acks>, tickets: Range<u64>) -> Self {
        Self(AckGuard {
            acks,
            tickets,
            is_written: false,
        })
    }

    fn records(&self) -> u64 {
        self.0.tickets.end - self.0.tickets.start
    }

    /// Answers that these appends are certainly not appended.
    fn refuse(self, error: &Error) {
        self.0.settle(Err(error.clone()));
    }

    /// Assigns LSNs, starting with `first`.
    fn place(self, first: Lsn) -> PlacedAcks {
        PlacedAcks {
            last: first.plus(self.records() - 1),
            guard: self.0,
        }
    }

    /// Splits off the first `records` records.
    fn split(&mut self, records: u64) -> Self {
        let middle = self.0.tickets.start + records;
        let tickets = self.0.tickets.start..middle;
        self.0.tickets.start = middle;
        Self::new(Weak::clone(&self.0.acks), tickets)
    }
}

/// Pending acks in the order of their tickets.
#[derive(Default)]
pub(crate) struct AckQueue(SmallDeque<PendingAcks>);

impl AckQueue {
    pub(super) fn push(&mut self, acks: PendingAcks) {
        self.0.push(acks);
    }

    /// Moves everything to the end of `other`.
    pub(crate) fn move_all_to(&mut self, other: &mut Self) {
        other.0.extend(self.0.drain());
    }

    /// Moves the acks of the first `records` records to the end of `other`.
    pub(crate) fn move_to(&mut self, other: &mut Self, mut records: u64) {
        while records > 0 {
            let first = self.0.front_mut().expect("an ack for every record");
            let piece = if first.records() > records {
                Some(first.split(records))
            } else {
                self.0.pop_front()
            };
            let piece = piece.expect("an ack for every record");
            records -= piece.records();
            other.push(piece);
        }
    }

    /// Assigns LSNs to all of them, starting with `first`.
    pub(crate) fn place(self, first: Lsn) -> SmallDeque<PlacedAcks> {
        let mut next = first;
        let place = |acks: PendingAcks| {
            let placed = acks.place(next);
            next = placed.last.next();
            placed
        };
        self.0.into_iter().map(place).collect()
    }

    /// Answers that these appends are certainly not appended.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.0.drain().for_each(|acks| acks.refuse(error));
    }
}

/// Appends that are being written to a file.
pub(crate) struct PlacedAcks {
    last: Lsn,
    guard: AckGuard,
}

impl PlacedAcks {
    /// The appends were written to a file.
    pub(crate) fn on_file(self, _: Wrote) -> WrittenAcks {
        WrittenAcks(self)
    }

    /// Answers that the outcome is unknown.
    pub(crate) fn fail(self, fault: &IoFailure) {
        self.guard.settle(Err(Error::OutcomeUnknown(fault.clone())));
    }

    fn offset(&self) -> LsnOffset {
        LsnOffset::between(self.guard.tickets.end - 1, self.last)
    }
}

/// Appends that survive a killed process.
pub(crate) struct WrittenAcks(PlacedAcks);

impl WrittenAcks {
    /// The LSN of the last record.
    pub(crate) fn last(&self) -> Lsn {
        self.0.last
    }

    /// Answers the appends with [`Durability::Written`]: they are in a file that is present under
    /// its name.
    pub(crate) fn written(&mut self, _: Present) {
        let PlacedAcks { guard, .. } = &mut self.0;
        guard.is_written = true;
        if let Some(acks) = guard.acks.upgrade() {
            let (tickets, outcome) = (guard.tickets.clone(), Ok(self.0.offset()));
            acks.settle_written(AckRange { tickets, outcome });
        }
    }

    /// Answers that the appends are on disk. Returns how many callers were waiting. This is the
    /// only way to acknowledge an append as durable.
    pub(crate) fn durable(self, _: Synced) -> usize {
        let offset = self.0.offset();
        self.0.guard.settle(Ok(offset))
    }

    /// Answers that the outcome is unknown.
    pub(crate) fn fail(self, fault: &IoFailure) {
        self.0.fail(fault);
    }

    /// Whether a caller still holds the future of one of these appends, or of one that was taken
    /// out of the queue with them.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.guard.acks.strong_count() > 0
    }
}
