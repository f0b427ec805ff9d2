//! Rebuilding the state from records. `docs/openraft.md`, "Opening", has the rules.

use tidewal::{Lsn, Record, Recovery};

use crate::core::encoding::{self, FIRST_NUMBER, Op, Owner};
use crate::core::memory::{Memory, Position, check_order};
use crate::core::types::Types;
use crate::error::OpenError;

/// The state rebuilt from the records of one raft log.
pub(crate) struct Rebuilt<T: Types> {
    pub(crate) memory: Memory<T>,
    /// The number of the next record.
    pub(crate) next: u64,
    /// The first LSN that the state needs, if it needs any.
    pub(crate) needs: Option<Lsn>,
}

impl<T: Types> Rebuilt<T> {
    /// A log without records.
    pub(crate) fn empty() -> Self {
        Self {
            memory: Memory::new(),
            next: FIRST_NUMBER,
            needs: None,
        }
    }

    /// Reads the only raft log in a `Wal` to its end.
    pub(crate) async fn single(recovery: &mut Recovery) -> Result<Self, OpenError> {
        let mut replay = Replay::new();
        while let Some(record) = recovery.try_next().await? {
            let unreadable = |reason| unreadable(&record, reason);
            let (header, op) = encoding::decode::<T>(&record.payload).map_err(unreadable)?;
            if header.owner != Owner::Single {
                return Err(unreadable(OF_MANY.into()));
            }
            if replay
                .counts(record.lsn, header.number)
                .map_err(unreadable)?
            {
                replay
                    .apply(record.lsn, header.number, op)
                    .map_err(unreadable)?;
            }
        }
        replay.finish(recovery.report().end)
    }
}

/// A state that is being rebuilt.
pub(crate) struct Replay<T: Types> {
    memory: Memory<T>,
    next: u64,
    /// The first record that is not void, and its number.
    first: Option<(Lsn, u64)>,
    /// The first record that the last checkpoint needs: an LSN that it is not before, and its
    /// number. It may have been truncated or copied since, but opening the log still checks for it.
    needs: Option<(Lsn, u64)>,
}

impl<T: Types> Replay<T> {
    pub(crate) fn new() -> Self {
        Self {
            memory: Memory::new(),
            next: FIRST_NUMBER,
            first: None,
            needs: None,
        }
    }

    /// Whether a record is valid and not void, judged by its number.
    ///
    /// A record that a full disk refused is not in the log. In logs that were written before
    /// appends were ordered, later records that were submitted with it can be. None of those was
    /// acknowledged, so they are void. The next process that opened the log continued with the
    /// missing number.
    pub(crate) fn counts(&mut self, lsn: Lsn, number: u64) -> Result<bool, String> {
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

    /// Takes the next record of a group. Nothing is appended after a refused record, so none is
    /// missing.
    pub(crate) fn apply_next(&mut self, lsn: Lsn, number: u64, op: Op<T>) -> Result<(), String> {
        self.follows(number)?;
        self.first.get_or_insert((lsn, number));
        self.apply(lsn, number, op)
    }

    /// Checks that this is the next number.
    pub(crate) fn follows(&self, number: u64) -> Result<(), String> {
        if self.first.is_some() && number != self.next {
            let due = self.next;
            return Err(format!("it has number {number} where {due} is due"));
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, lsn: Lsn, number: u64, op: Op<T>) -> Result<(), String> {
        self.next = number + 1;
        match op {
            Op::Entry(entry, len) => {
                check_order::<T>(self.memory.last_entry(), T::log_id(&entry))
                    .map_err(|error| error.to_string())?;
                self.memory.insert(Position { number, lsn }, entry, len);
            }
            Op::Copy(entry, len) => self.memory.insert(Position { number, lsn }, entry, len),
            Op::Vote(vote) => self.memory.vote = Some(vote),
            Op::Committed(committed) => self.memory.committed = committed,
            Op::Truncate(since) => self.memory.truncate(since),
            Op::Checkpoint(checkpoint) => {
                let number = checkpoint.needs;
                self.memory.restore(checkpoint);
                let oldest = self.memory.oldest();
                self.needs = Some((oldest.map_or(lsn, |oldest| oldest.min(lsn)), number));
            }
            Op::Padding => {}
            Op::Removed => return Err("a group ends with it, in a log without groups".into()),
        }
        Ok(())
    }

    /// The state, if the log, which ends with `end`, held everything that it needs.
    pub(crate) fn finish(self, end: Lsn) -> Result<Rebuilt<T>, OpenError> {
        let is_complete = match (self.first, self.needs) {
            (None, _) => end == Lsn::ZERO,
            (Some((_, FIRST_NUMBER)), _) => true,
            (Some((_, first)), needs) => needs.is_some_and(|(_, needs)| first <= needs),
        };
        let first = self.first.map(|(lsn, _)| lsn);
        if !is_complete {
            let first = first.unwrap_or(end.next());
            return Err(OpenError::Incomplete { first });
        }
        Ok(Rebuilt {
            needs: self.needs.map(|(lsn, _)| lsn).or(first),
            memory: self.memory,
            next: self.next,
        })
    }
}

pub(crate) fn unreadable(record: &Record, reason: String) -> OpenError {
    OpenError::Unreadable {
        lsn: record.lsn,
        reason,
    }
}

const OF_MANY: &str = "it is of a log with many groups. Open it with RaftLogs";
