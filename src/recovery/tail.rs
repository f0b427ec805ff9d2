//! The verdict on how the newest segment ends: torn, or damaged.
//!
//! Records that the last crash left half written end the log quietly (promise P4). Damage needs a
//! proof. Each frame says how far the log was durable when it was written. A later frame that names
//! a record which cannot be read proves that this record was lost. A later frame that does not name
//! it proves nothing, because disks write blocks in any order. The segment's statement in its
//! header block is also such a frame.

use crate::error::{Corruption, CorruptionKind, IoFailure};
use crate::format::frame::{self, Frame, Kind};
use crate::format::search::Search;
use crate::format::statement::{Statement, StatementKind};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::recovery::bad_pages::{self, next_page};
use crate::recovery::report::{TornTail, TornTailReason};
use crate::recovery::scan::{Scan, Stop};
use crate::storage::Dir;

/// How the newest segment ends.
pub(super) enum Verdict {
    Sealed,
    Torn(TornTail),
    Damaged(Corruption),
}

/// Judges a scan of the newest segment that stopped for this reason.
pub(super) fn judge(dir: &Dir, scan: &Scan, stop: Stop) -> Result<Verdict, IoFailure> {
    judge_with(dir, scan, stop).map(|(verdict, _)| verdict)
}

/// The same, with what was found after the stop.
pub(super) fn judge_with(dir: &Dir, scan: &Scan, stop: Stop) -> Result<(Verdict, Rest), IoFailure> {
    let asks_no_further = is_active(Mutant::FirstInvalidIsTheEnd);
    let statement = scan.segment.statement.filter(|_| !asks_no_further);
    // After a seal there are only leftovers.
    let rest = if stop == Stop::Seal || asks_no_further {
        Rest::default()
    } else {
        search_rest(scan)?
    };
    Ok((verdict(dir, scan, stop, statement, rest.proven), rest))
}

fn verdict(
    dir: &Dir,
    scan: &Scan,
    stop: Stop,
    statement: Option<Statement>,
    found: Lsn,
) -> Verdict {
    let (end, offset) = scan.end();
    let proven = statement
        .map_or(Lsn::ZERO, |statement| statement.lsn)
        .max(found);
    let damaged = |kind, proven| Verdict::Damaged(scan.damaged(dir, kind, proven));
    if proven > end {
        return damaged(CorruptionKind::ProvenLost, proven);
    }
    match (statement.map(|statement| statement.kind), stop) {
        (Some(StatementKind::Link), _) => damaged(CorruptionKind::SuccessorMissing, Lsn::ZERO),
        (_, Stop::Seal) => Verdict::Sealed,
        // The seal names another end than the readable records have.
        (Some(StatementKind::Seal), _) => damaged(CorruptionKind::SealedDamaged, Lsn::ZERO),
        // The page may hold the record that was acknowledged last, and nothing after it would prove
        // that.
        (_, Stop::Unreadable(_)) => damaged(CorruptionKind::ProvenLost, Lsn::ZERO),
        _ => Verdict::Torn(TornTail {
            segment: dir.path_of(&scan.segment.name),
            offset,
            lsn: end.next(),
            reason: torn_reason(stop, scan.walker.is_in_unit()),
        }),
    }
}

/// What is torn, after a scan that stopped at something else than a seal or a bad sector.
fn torn_reason(stop: Stop, is_in_unit: bool) -> TornTailReason {
    match stop {
        Stop::BadRecord(frame) if frame.kind == Kind::Part => TornTailReason::TornBatch,
        _ if is_in_unit => TornTailReason::TornBatch,
        Stop::BadRecord(_) => TornTailReason::TornRecord,
        // An unknown kind is an error before a verdict is reached.
        Stop::Limit | Stop::NoRecord | Stop::UnknownKind(_) | Stop::Seal | Stop::Unreadable(_) => {
            TornTailReason::NoRecord
        }
    }
}

/// What the frames after the place where a scan stopped prove.
#[derive(Clone, Copy, Default)]
pub(super) struct Rest {
    /// The last LSN that one of them proves to have been durable.
    pub(super) proven: Lsn,
    /// The highest LSN of these frames.
    pub(super) highest: Lsn,
}

impl Rest {
    fn note(&mut self, frame: &Frame) {
        self.highest = self.highest.max(frame.lsn);
        let proven = if is_active(Mutant::LaterValidIsDamage) {
            frame.lsn
        } else {
            frame.proves()
        };
        self.proven = self.proven.max(proven);
    }
}

/// Searches for frames from where the scan stopped to the end of the file. Examines every byte that
/// can be read.
///
/// An unreadable page after the one with the next record's place is skipped. A proof is lost only
/// if there is damage in two places, and most of the rest of a file was never written.
pub(super) fn search_rest(scan: &Scan) -> Result<Rest, IoFailure> {
    let search = Search::behind(&scan.walker, &scan.segment.header);
    let mut rest = Rest::default();
    let mut buffer = vec![0; SEARCH_LEN];
    let mut offset = scan.walker.offset();
    while offset < scan.capacity() {
        let left = usize::try_from(scan.capacity() - offset).unwrap_or(usize::MAX);
        let read = bad_pages::read(&scan.file, &mut buffer[..left.min(SEARCH_LEN)], offset)?;
        let frames = search.frames_in(&buffer[..read.filled], offset);
        frames.for_each(|(_, frame)| rest.note(&frame));
        offset = match read.bad_page {
            Some(page) => next_page(page),
            None if read.filled < frame::HEADER_LEN => break,
            None => offset + (read.filled - (frame::HEADER_LEN - 1)) as u64,
        };
    }
    Ok(rest)
}

/// The size of the pieces in which the rest is searched.
const SEARCH_LEN: usize = 256 * 1024;
