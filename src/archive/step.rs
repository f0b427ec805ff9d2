//! What an archiver has to do next, from what the archive has and what the log has.

use crate::archive::error::{Error, Result};
use crate::archive::ledger::Ledger;
use crate::archive::manifest::Reached;
use crate::format::segment::Predecessor;
use crate::lsn::Lsn;
use crate::retention::{Kept, Sealed};

/// The next step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Ship(Sealed),
    /// The log has not got these records any more.
    Gap(Lsn, Lsn),
    /// Everything complete is in the archive.
    Wait,
}

/// The next step, or an error if archive and log do not belong together.
pub(super) fn next(ledger: &Ledger, kept: &Kept, prefix: &str) -> Result<Step> {
    let diverged = |_| Error::Diverged {
        prefix: prefix.to_owned(),
        after: ledger.reached.last,
    };
    check_common(&ledger.reached, kept).map_err(diverged)?;
    let next = ledger.reached.last.next();
    // What is not held back may go at any moment.
    let from = kept.hold.map_or(next, |hold| hold.from.max(next));
    let missing = kept.sealed.iter().find(|sealed| sealed.header.base >= from);
    let Some(&sealed) = missing else {
        return Ok(Step::Wait);
    };
    if ledger.reached.is_nothing() {
        return Ok(Step::Ship(sealed));
    }
    let base = sealed.header.base;
    if base > next {
        return Ok(Step::Gap(next, base.prev()));
    }
    match ledger.reached.segment {
        Some(segment) if sealed.header.predecessor != Some(segment) => Err(diverged(Mismatch)),
        _ => Ok(Step::Ship(sealed)),
    }
}

struct Mismatch;

/// If the log still has a segment with the record that the archive ends with, it has to be the one that
/// the archive has; and the log must not end before the archive.
fn check_common(reached: &Reached, kept: &Kept) -> Result<(), Mismatch> {
    let ends_here = |sealed: &Sealed| {
        let expected = reached.segment.unwrap_or_else(|| as_predecessor(sealed));
        sealed.last == reached.last && as_predecessor(sealed) == expected
    };
    let holds_it = |sealed: &&Sealed| (sealed.header.base..=sealed.last).contains(&reached.last);
    let is_common = kept.sealed.iter().find(holds_it).is_none_or(ends_here);
    let is_behind = |newest: &Sealed| newest.last < reached.last;
    if is_common && !kept.sealed.last().is_some_and(is_behind) {
        Ok(())
    } else {
        Err(Mismatch)
    }
}

fn as_predecessor(sealed: &Sealed) -> Predecessor {
    Predecessor {
        salt: sealed.header.salt,
        end: sealed.end,
    }
}
