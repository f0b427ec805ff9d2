//! Making the state of its records. The rules are those of `docs/openraft.md`, "Opening".

use openraft::{RaftLogId, RaftTypeConfig};
use tidewal::{Lsn, Record, Recovery};

use crate::completions::Places;
use crate::encoding::{self, Op};
use crate::error::OpenError;
use crate::memory::Memory;

/// A state that is being made.
pub(crate) struct Rebuild<C: RaftTypeConfig> {
    pub(crate) memory: Memory<C>,
    pub(crate) places: Places,
    /// The number of the next record.
    pub(crate) next: u64,
    /// The first record that counts, and its number.
    first: Option<(Lsn, u64)>,
    /// The first record that the last checkpoint needs.
    needs: Option<u64>,
}

impl<C: RaftTypeConfig> Rebuild<C> {
    /// Reads a log to its end.
    pub(crate) async fn run(recovery: &mut Recovery) -> Result<Self, OpenError> {
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
        if self.counts(record.lsn, number).map_err(unreadable)? {
            self.next = number + 1;
            self.apply(record.lsn, number, op).map_err(unreadable)?;
        }
        Ok(())
    }

    /// Whether a record counts, by its number.
    ///
    /// One that was refused because the disk was full is not in the log, but later ones that were submitted
    /// with it can be. None of those was acknowledged, and they do not count. The process that opened the log then
    /// went on with the number that is missing.
    fn counts(&mut self, lsn: Lsn, number: u64) -> Result<bool, String> {
        let expected = match self.first {
            None if lsn == Lsn::FIRST => FIRST_NUMBER,
            None => number,
            Some(_) => self.next,
        };
        if number < expected {
            return Err(format!("it has number {number} where {expected} is due"));
        }
        self.first.get_or_insert((lsn, expected));
        Ok(number == expected)
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
