//! The verdict on how the newest segment ends: torn, or damaged.
//!
//! Records that the last crash left half written end the log quietly (promise P4). Whether there may
//! be more than that is a question of proof: each frame says how far the log was durable when it was
//! written, so a later frame that names a record which cannot be read proves that it was lost, and a
//! later frame that does not name it proves nothing: disks write blocks in any order. The segment's
//! statement in its header block is such a frame too.

use crate::error::{Corruption, Damage, Fault};
use crate::format::frame::{self, Frame, Kind, Lag};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::recovery::report::{Cut, CutReason};
use crate::recovery::scan::{Scan, Stop};
use crate::storage::Dir;

/// How the newest segment ends.
pub(super) enum Verdict {
    Sealed,
    Torn(Cut),
    Damaged(Corruption),
}

/// Judges a scan of the newest segment that stopped for this reason.
pub(super) fn judge(dir: &Dir, scan: &Scan, stop: Stop) -> Result<Verdict, Fault> {
    judge_with(dir, scan, stop).map(|(verdict, _)| verdict)
}

/// The same, and what was seen behind the stop.
pub(super) fn judge_with(dir: &Dir, scan: &Scan, stop: Stop) -> Result<(Verdict, Rest), Fault> {
    let asks_no_further = is_planted(Bug::FirstInvalidIsTheEnd);
    let statement = scan.segment.statement.filter(|_| !asks_no_further);
    // Behind a seal there is nothing but leftovers.
    let rest = if stop == Stop::Seal || asks_no_further {
        Rest::default()
    } else {
        search_rest(scan)?
    };
    Ok((verdict(dir, scan, stop, statement, rest.proven), rest))
}

fn verdict(dir: &Dir, scan: &Scan, stop: Stop, statement: Option<Frame>, found: Lsn) -> Verdict {
    let (end, offset) = scan.end();
    let proven = statement
        .map_or(Lsn::ZERO, |frame| frame.proves())
        .max(found);
    if proven > end {
        return Verdict::Damaged(scan.damaged(dir, Damage::ProvenLost, proven));
    }
    if statement.is_some_and(|frame| frame.kind == Kind::Link) {
        return Verdict::Damaged(scan.damaged(dir, Damage::SuccessorMissing, Lsn::ZERO));
    }
    let reason = match stop {
        Stop::Seal => return Verdict::Sealed,
        // It says that the log was closed, and not at the end of what can be read.
        _ if statement.is_some_and(|frame| frame.kind == Kind::Seal) => {
            return Verdict::Damaged(scan.damaged(dir, Damage::SealedDamaged, Lsn::ZERO));
        }
        Stop::BadPart => CutReason::TornBatch,
        _ if scan.unit.len() > 0 => CutReason::TornBatch,
        Stop::BadRecord => CutReason::TornRecord,
        Stop::Limit | Stop::NoRecord => CutReason::NoRecord,
    };
    let segment = dir.path_of(&scan.segment.name);
    Verdict::Torn(Cut {
        segment,
        offset,
        lsn: end.next(),
        reason,
    })
}

/// What the frames say that stand behind the place where a scan stopped.
#[derive(Clone, Copy, Default)]
pub(super) struct Rest {
    /// The last LSN that one of them says was durable.
    pub(super) proven: Lsn,
    /// The last LSN that one of them is of.
    pub(super) highest: Lsn,
}

impl Rest {
    fn note(&mut self, frame: &Frame) {
        self.highest = self.highest.max(frame.lsn);
        let proven = if is_planted(Bug::LaterValidIsDamage) {
            frame.lsn
        } else {
            frame.proves()
        };
        self.proven = self.proven.max(proven);
    }
}

/// What the frames say from where the scan stopped to the end of the file. Looks at every byte.
///
/// Payloads are not checked: a header that is sound was written by the log, whatever became of what
/// follows it. A payload cannot pose as one, because nobody knows the salt of a segment before records
/// are written to it, and a copy of older frames proves only older records. What is left is chance: see
/// [`is_possible`].
pub(super) fn search_rest(scan: &Scan) -> Result<Rest, Fault> {
    let mut rest = Rest::default();
    let mut buffer = vec![0; SEARCH_LEN];
    let mut offset = scan.offset;
    while offset < scan.capacity() {
        let left = usize::try_from(scan.capacity() - offset).unwrap_or(usize::MAX);
        let filled = scan
            .file
            .read_at(&mut buffer[..left.min(SEARCH_LEN)], offset)?;
        if filled < frame::HEADER_LEN {
            break;
        }
        frames_in(&buffer[..filled], offset, scan).for_each(|(_, frame)| rest.note(&frame));
        offset += (filled - (frame::HEADER_LEN - 1)) as u64;
    }
    Ok(rest)
}

/// The frames in `bytes`, which stand at `offset`, that the log can have written there, and where.
///
/// Looks for the byte that tells a frame's kind, and skips zeros, of which most of a file consists.
pub(super) fn frames_in<'a>(
    bytes: &'a [u8],
    offset: u64,
    scan: &'a Scan,
) -> impl Iterator<Item = (u64, Frame)> + 'a {
    let blocks = (0..bytes.len())
        .step_by(SKIP_LEN)
        .map(|at| at..(at + SKIP_LEN).min(bytes.len()));
    let filled = blocks.filter(move |block| bytes[block.clone()].iter().any(|&byte| byte != 0));
    let kinds = filled
        .flatten()
        .filter(move |&at| matches!(bytes[at], RECORD | PART));
    let starts = kinds.filter_map(|at| at.checked_sub(frame::KIND_AT));
    starts.filter_map(move |start| {
        let frame = Frame::decode(bytes[start..].first_chunk()?, &scan.key)?;
        let at = offset + start as u64;
        is_possible(&frame, at, scan).then_some((at, frame))
    })
}

/// Whether the log can have written this frame at this offset.
///
/// A 32-bit check over a hundred thousand places in the leftovers of a recycled file is right by chance
/// too often to stop a service on its word. What the log writes also fits the file, has no more records
/// before it than there is room for, and was written after the segment's predecessor was durable.
fn is_possible(frame: &Frame, offset: u64, scan: &Scan) -> bool {
    let between = frame.lsn.since(scan.next);
    let first_durable = scan.segment.header.base.prev();
    frame.lsn >= scan.next
        && between * frame::HEADER_LEN as u64 <= offset - scan.offset
        && offset + frame.total_len() <= scan.capacity()
        && (frame.lag == Lag::UNKNOWN
            || (first_durable <= frame.proves() && frame.proves() < frame.lsn))
}

/// The kinds that stand outside the header block.
const RECORD: u8 = Kind::Record as u8;
const PART: u8 = Kind::Part as u8;

/// Zeros are skipped in pieces of this size.
const SKIP_LEN: usize = 512;

/// How much is searched at once.
const SEARCH_LEN: usize = 256 * 1024;
