//! What an archiver has to do next, from what the archive has and what the log has.

use crate::archive::error::{Error, Result};
use crate::archive::manifest::Reached;
use crate::format::segment::{Header, Predecessor};
use crate::lsn::Lsn;
use crate::retention::{HoldId, Kept, Sealed};

/// The next step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Ship(Sealed),
    /// The log has not got these records any more.
    Gap(Lsn, Lsn),
    /// Everything complete is in the archive.
    Wait,
}

/// The next step of a log that is durable up to `durable`, or an error if archive and log do not belong
/// together.
pub(super) fn next(reached: &Reached, kept: &Kept, durable: Lsn, prefix: &str) -> Result<Step> {
    if !is_common(reached, kept, durable) {
        return Err(Error::Diverged {
            prefix: prefix.to_owned(),
            after: reached.last.min(durable),
        });
    }
    let next = reached.last.next();
    // What is not held back may go at any moment.
    let hold = kept.hold(HoldId::ARCHIVER);
    let from = hold.map_or(next, |hold| hold.from.max(next));
    let missing = kept.sealed.iter().find(|sealed| sealed.header.base >= from);
    Ok(match missing {
        None => Step::Wait,
        Some(sealed) if reached.is_nothing() || sealed.header.base == next => Step::Ship(*sealed),
        Some(sealed) => Step::Gap(next, sealed.header.base.prev()),
    })
}

/// Whether the log can have made what the archive holds: it does not end before the archive, and
/// wherever its segments meet the archive's last one, they are that one or follow it.
fn is_common(reached: &Reached, kept: &Kept, durable: Lsn) -> bool {
    let sealed = kept.sealed.iter();
    reached.is_nothing()
        || (durable >= reached.last
            && sealed.clone().all(|sealed| is_as_archived(reached, sealed))
            && sealed
                .map(|sealed| &sealed.header)
                .all(|header| joins(reached, header))
            && kept.open.iter().all(|open| begins_behind(reached, open)))
}

/// Whether a finished segment, if it has the record that the archive ends with, is the one that the
/// archive has.
fn is_as_archived(reached: &Reached, sealed: &Sealed) -> bool {
    let holds_it = (sealed.header.base..=sealed.last).contains(&reached.last);
    let (salt, end) = (sealed.header.salt, sealed.end);
    let expected = reached.segment.unwrap_or(Predecessor { salt, end });
    !holds_it || (sealed.last == reached.last && expected == Predecessor { salt, end })
}

/// Whether an unfinished segment lies behind the archive, which has finished ones only.
fn begins_behind(reached: &Reached, open: &Header) -> bool {
    open.base > reached.last && joins(reached, open)
}

/// Whether a segment, if it is the next one, does not follow another one than the archive ends with. A
/// log that was truncated up to a segment without records begins anew there, and names none.
fn joins(reached: &Reached, header: &Header) -> bool {
    header.base != reached.last.next()
        || matches!((header.predecessor, reached.segment), (Some(named), Some(known)) if named == known)
        || header.predecessor.is_none()
        || reached.segment.is_none()
}
