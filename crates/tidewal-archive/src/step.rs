//! What an archiver has to do next, from what the archive has and what the log has.

use tidewal::{FinishedSegment, Lsn, SegmentEnd, SegmentHeader, SegmentList};

use crate::error::{Error, Result};
use crate::manifest::Reached;

/// The next step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Ship(FinishedSegment),
    /// The log has not got these records any more.
    Gap(Lsn, Lsn),
    /// Everything finished is in the archive.
    Wait,
}

/// The next step of a log that keeps what begins with `kept`, or an error if archive and log do not belong
/// together.
pub(super) fn next(
    reached: &Reached,
    list: &SegmentList,
    kept: Option<Lsn>,
    prefix: &str,
) -> Result<Step> {
    if !is_common(reached, list) {
        return Err(Error::Diverged {
            prefix: prefix.to_owned(),
            after: reached.last.min(list.durable),
        });
    }
    let next = reached.last.next();
    // What is not kept may go at any moment.
    let from = kept.map_or(next, |kept| kept.max(next));
    let missing = list.finished.iter().find(|found| found.first() >= from);
    Ok(match missing {
        None => Step::Wait,
        Some(found) if reached.is_nothing() || found.first() == next => Step::Ship(found.clone()),
        Some(found) => Step::Gap(next, found.first().prev()),
    })
}

/// Whether the log can have made what the archive holds: it does not end before the archive, and
/// wherever its segments meet the archive's last one, they are that one or follow it.
fn is_common(reached: &Reached, list: &SegmentList) -> bool {
    let mut finished = list.finished.iter();
    reached.is_nothing()
        || (list.durable >= reached.last
            && finished
                .all(|found| is_as_archived(reached, found) && joins(reached, found.header()))
            && list.open.is_none_or(|open| begins_behind(reached, open)))
}

/// Whether a finished segment, if it has the record that the archive ends with, is the one that the
/// archive has.
fn is_as_archived(reached: &Reached, found: &FinishedSegment) -> bool {
    let holds_it = (found.first()..=found.last()).contains(&reached.last);
    let (salt, end) = (found.header().salt, found.size());
    let expected = reached.segment.unwrap_or(SegmentEnd { salt, end });
    !holds_it || (found.last() == reached.last && expected == SegmentEnd { salt, end })
}

/// Whether an unfinished segment lies behind the archive, which has finished ones only.
fn begins_behind(reached: &Reached, open: SegmentHeader) -> bool {
    open.base > reached.last && joins(reached, open)
}

/// Whether a segment, if it is the next one, does not follow another one than the archive ends with. A
/// log that was truncated up to a segment without records begins anew there, and names none.
fn joins(reached: &Reached, header: SegmentHeader) -> bool {
    let known = header.predecessor.zip(reached.segment);
    header.base != reached.last.next() || known.is_none_or(|(named, known)| named == known)
}
