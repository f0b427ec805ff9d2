//! Making the state of its records. The rules are those of `docs/openraft.md`, "Opening".

use openraft::{RaftLogId, RaftTypeConfig};

use crate::openraft::completions::Places;
use crate::openraft::encoding::{self, Checkpoint, Op};
use crate::openraft::error::OpenError;
use crate::openraft::memory::Memory;
use crate::{Lsn, Record, Recovery};

/// A state that is being made.
pub(super) struct Rebuild<C: RaftTypeConfig> {
    pub(super) memory: Memory<C>,
    pub(super) places: Places,
    /// The number of the next record.
    pub(super) next: u64,
    /// Where the records begin that count for nothing, because one before them is missing.
    pub(super) void_from: Option<Lsn>,
    /// The first record that counts, and its number.
    first: Option<(Lsn, u64)>,
    /// The first record that the last checkpoint needs.
    needs: Option<u64>,
}

impl<C: RaftTypeConfig> Rebuild<C> {
    /// Reads a log to its end.
    pub(super) async fn run(recovery: &mut Recovery) -> Result<Self, OpenError> {
        let mut rebuild = Self::new();
        while let Some(record) = recovery.try_next().await? {
            rebuild.take(&record)?;
        }
        rebuild.check(recovery.report().end)?;
        Ok(rebuild)
    }

    fn new() -> Self {
        Self {
            memory: Memory::new(),
            places: Places::default(),
            next: FIRST_NUMBER,
            void_from: None,
            first: None,
            needs: None,
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), OpenError> {
        let unreadable = |reason: String| OpenError::Unreadable {
            lsn: record.lsn,
            reason,
        };
        let (number, op) = encoding::decode::<C>(&record.payload).map_err(unreadable)?;
        if self.counts(record.lsn, number, &op).map_err(unreadable)? {
            self.next = number + 1;
            self.apply(record.lsn, number, op).map_err(unreadable)?;
        }
        Ok(())
    }

    /// Whether a record counts, by its number.
    ///
    /// One that was refused for want of room is not in the log, but later ones that were submitted
    /// with it can be. Their numbers tell. None of them was acknowledged, and the next checkpoint that
    /// says so ends them.
    fn counts(&mut self, lsn: Lsn, number: u64, op: &Op<C>) -> Result<bool, String> {
        if let Op::Checkpoint(Checkpoint { void_from, .. }) = op
            && *void_from != 0
        {
            self.end_void(Lsn::new(*void_from))?;
        }
        if self.first.is_none() {
            if lsn == Lsn::FIRST && number != FIRST_NUMBER {
                return Err(format!("it has number {number}, and is the first"));
            }
            self.first = Some((lsn, number));
            return Ok(true);
        }
        if number < self.next {
            return Err(format!("it has number {number} after {}", self.next - 1));
        }
        if number > self.next {
            self.void_from.get_or_insert(lsn);
        }
        Ok(self.void_from.is_none())
    }

    /// A checkpoint says that the records between `void_from` and it are void.
    fn end_void(&mut self, void_from: Lsn) -> Result<(), String> {
        // If the log was truncated up to such records, nothing before them told that they are void.
        let all_void = self.first.is_none_or(|(first, _)| void_from <= first);
        if all_void {
            *self = Self::new();
        } else if self.void_from.take() != Some(void_from) {
            return Err(format!(
                "it says that the records from {void_from} on are void"
            ));
        }
        Ok(())
    }

    fn apply(&mut self, lsn: Lsn, number: u64, op: Op<C>) -> Result<(), String> {
        match op {
            Op::Entry(entry, len) => {
                self.memory
                    .check_order(entry.get_log_id())
                    .map_err(|error| error.to_string())?;
                self.places.push(number, lsn);
                self.memory.append(number, entry, len);
            }
            Op::Vote(vote) => self.memory.vote = Some(vote),
            Op::Committed(committed) => self.memory.committed = committed,
            Op::Truncate(since) => self.memory.truncate(since),
            Op::Checkpoint(checkpoint) => {
                self.needs = Some(checkpoint.needs);
                self.places.low_water(checkpoint.needs, lsn);
                self.memory.restore(checkpoint);
            }
        }
        Ok(())
    }

    /// Whether everything was there that the state is made of, in a log that ends with `end`.
    fn check(&self, end: Lsn) -> Result<(), OpenError> {
        let is_complete = match (self.first, self.needs) {
            (None, _) => end == Lsn::ZERO,
            (Some((_, FIRST_NUMBER)), _) => true,
            (Some((_, first)), needs) => needs.is_some_and(|needs| first <= needs),
        };
        let first = self.first.map_or(end.next(), |(lsn, _)| lsn);
        is_complete
            .then_some(())
            .ok_or(OpenError::Incomplete { first })
    }
}

/// The number of a log's first record.
const FIRST_NUMBER: u64 = 1;
