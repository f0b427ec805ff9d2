//! Decides what an archiver does next, from the state of the archive and of the log.

use tidewal::{FinishedSegment, Lsn, SegmentEnd, SegmentHeader, SegmentList};

use crate::error::{Error, Result};
use crate::manifest::Reached;

/// What an archiver does next.
#[derive(Clone, Debug)]
pub(super) enum NextAction {
    Ship(FinishedSegment),
    /// The log no longer has these records.
    Gap(Lsn, Lsn),
    /// Every finished segment is in the archive.
    Wait,
}

/// What comes next for a log that keeps everything from `kept` on, or an error if archive and log do not belong
/// together.
pub(super) fn next(
    reached: &Reached,
    list: &SegmentList,
    kept: Option<Lsn>,
    prefix: &str,
) -> Result<NextAction> {
    if !is_common(reached, list) {
        return Err(Error::Diverged {
            prefix: prefix.to_owned(),
            after: reached.last.min(list.durable),
        });
    }
    let next = reached.last.next();
    // The log may remove at any moment what it is not asked to keep.
    let from = kept.map_or(next, |kept| kept.max(next));
    let missing = list.finished.iter().find(|found| found.first() >= from);
    Ok(match missing {
        None => NextAction::Wait,
        Some(found) if reached.is_nothing() || found.first() == next => {
            NextAction::Ship(found.clone())
        }
        Some(found) => NextAction::Gap(next, found.first().prev()),
    })
}

/// Whether the archive can be one of this log: the log does not end before the archive, and where its segments
/// meet the archive's last one, they are that segment or follow it.
fn is_common(reached: &Reached, list: &SegmentList) -> bool {
    let mut finished = list.finished.iter();
    reached.is_nothing()
        || (list.durable >= reached.last
            && finished
                .all(|found| is_as_archived(reached, found) && joins(reached, found.header()))
            && list.open.is_none_or(|open| begins_behind(reached, open)))
}

/// Whether a finished segment is the archived one, if it holds the last record of the archive.
fn is_as_archived(reached: &Reached, found: &FinishedSegment) -> bool {
    let holds_it = (found.first()..=found.last()).contains(&reached.last);
    let (salt, end) = (found.header().salt, found.size());
    let expected = reached.segment.unwrap_or(SegmentEnd { salt, end });
    !holds_it || (found.last() == reached.last && expected == SegmentEnd { salt, end })
}

/// Whether the open segment begins after the archive, which has finished segments only.
fn begins_behind(reached: &Reached, open: SegmentHeader) -> bool {
    open.base > reached.last && joins(reached, open)
}

/// Whether a segment, if it is the next one, names the archive's last segment as its predecessor. It may name none:
/// a log that was truncated up to a segment without records begins anew there.
fn joins(reached: &Reached, header: SegmentHeader) -> bool {
    let known = header.predecessor.zip(reached.segment);
    header.base != reached.last.next() || known.is_none_or(|(named, known)| named == known)
}
