//! The verdict on how the newest segment ends: torn, or damaged.
//!
//! Records that the last crash left half written end the log quietly (promise P4). Whether there may
//! be more than that is a question of proof: each frame says how far the log was durable when it was
//! written, so a later frame that names a record which cannot be read proves that it was lost, and a
//! later frame that does not name it proves nothing: disks write blocks in any order.

use crate::error::{Corruption, Damage, Fault};
use crate::format::frame::{self, Frame, Kind};
use crate::lsn::Lsn;
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
    let (end, offset) = scan.end();
    // Nothing but a link is ever written behind a seal, so there is nothing else to look for.
    let searched = if stop == Stop::Seal {
        SEALED_LEN
    } else {
        scan.capacity() - scan.offset
    };
    let evidence = Evidence::gather(scan, searched)?;
    if evidence.proven > end {
        return Ok(Verdict::Damaged(scan.damaged(
            dir,
            Damage::ProvenLost,
            evidence.proven,
        )));
    }
    if evidence.linked {
        return Ok(Verdict::Damaged(scan.damaged(
            dir,
            Damage::SuccessorMissing,
            Lsn::ZERO,
        )));
    }
    let reason = match stop {
        Stop::Seal => return Ok(Verdict::Sealed),
        _ if scan.unit.len() > 0 => CutReason::TornBatch,
        Stop::BadPayload => CutReason::TornRecord,
        Stop::Limit | Stop::NoRecord => CutReason::NoRecord,
    };
    let segment = dir.path_of(&scan.segment.name);
    Ok(Verdict::Torn(Cut {
        segment,
        offset,
        lsn: end.next(),
        reason,
    }))
}

/// What the bytes after the last good record prove.
struct Evidence {
    /// The last LSN that some frame says was durable.
    proven: Lsn,
    /// Whether a later segment was opened.
    linked: bool,
}

impl Evidence {
    /// Looks at every byte of so many from where the scan stopped.
    ///
    /// Payloads are not checked: a header that is sound was written by the log, whatever became of
    /// what follows it. A payload cannot pose as one, because nobody knows the salt of a segment
    /// before records are written to it, and a copy of older frames proves only older records.
    fn gather(scan: &Scan, len: u64) -> Result<Self, Fault> {
        let mut evidence = Self {
            proven: Lsn::ZERO,
            linked: false,
        };
        let mut buffer = vec![0; SEARCH_LEN];
        let (mut offset, end) = (scan.offset, scan.offset + len);
        while offset < end {
            let wanted =
                usize::try_from(end - offset).map_or(SEARCH_LEN, |left| left.min(SEARCH_LEN));
            let filled = scan.file.read_at(&mut buffer[..wanted], offset)?;
            if filled < frame::HEADER_LEN {
                break;
            }
            evidence.search(&buffer[..filled], scan);
            offset += (filled - (frame::HEADER_LEN - 1)) as u64;
        }
        Ok(evidence)
    }

    fn search(&mut self, bytes: &[u8], scan: &Scan) {
        for window in bytes.windows(frame::HEADER_LEN) {
            // Most of a file is zero or payload: look at one byte before anything else.
            if window[KIND_AT] == 0 || window[KIND_AT] > Kind::Link as u8 {
                continue;
            }
            let frame = window
                .first_chunk()
                .and_then(|header| Frame::decode(header, &scan.key));
            if let Some(frame) = frame {
                self.proven = self.proven.max(frame.proves());
                self.linked |= frame.kind == Kind::Link;
            }
        }
    }
}

/// Where a frame's kind stands.
const KIND_AT: usize = 12;

/// A seal and the link behind it.
const SEALED_LEN: u64 = 2 * frame::HEADER_LEN as u64;

/// How much is searched at once.
const SEARCH_LEN: usize = 256 * 1024;
