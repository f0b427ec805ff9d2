//! Making a recovered log fit to be continued (`docs/durability.md`, "Adoption").
//!
//! What recovery read may stand in the system's cache only, marked clean by a sync that failed before
//! the last process ended. So whatever nothing on disk proves to be durable is written again, synced,
//! and only then called durable; and the place where the log ends is sealed.

use crate::error::Fault;
use crate::format::names;
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};
use crate::recovered::{LastSegment, Recovered};
use crate::storage::{Dir, File, PAGE_LEN, Synced};
use crate::writer::segment;
use crate::writer::unshare::open_to_change;

/// Makes everything recovered durable, and removes leftovers.
pub(super) async fn adopt(dir: &Dir, recovered: &Recovered) -> Result<Synced, Fault> {
    if let Some(last) = &recovered.last {
        adopt_last(dir, last, recovered.end).await?;
    }
    // The word that they were truncated may have been read from a cache, too.
    if let Some(head) = recovered.segments.first()
        && !recovered.doomed.is_empty()
    {
        segment::mark_as_head(dir, head).await?;
    }
    // A spare that an earlier process left may be in the system's cache only, even its length; new
    // ones are made of new writes. What cannot be removed is in nobody's way: it is tried again at the
    // next start.
    let leftovers = recovered.doomed.iter().chain(&recovered.spares);
    leftovers
        .into_iter()
        .for_each(|name| drop(dir.remove(name)));
    dir.sync()
}

/// The seal comes after a sync of its own: it says that what stands before it is durable. Where there is
/// a seal already it was so, and nothing has to be written again.
pub(super) async fn adopt_last(dir: &Dir, last: &LastSegment, end: Lsn) -> Result<(), Fault> {
    let name = names::segment(last.header.base);
    let mut file = open_to_change(dir, &name, last.end).await?;
    if !last.sealed && !is_planted(Bug::AdoptedUnsynced) {
        file = rewrite(file, last.unproven_from, last.end)?.sync().await?.0;
    }
    if is_planted(Bug::RecoveredAppendedTo) {
        return Ok(());
    }
    segment::seal(file, &last.header.key(), end, last.end).await
}

/// Writes bytes over themselves, so that the next sync takes them to the disk whatever the cache
/// believes.
fn rewrite(mut file: File, from: u64, to: u64) -> Result<File, Fault> {
    let mut buffer = vec![0; PIECE_LEN];
    let mut offset = from - from % PAGE_LEN;
    while offset < to {
        let wanted = usize::try_from(to - offset).map_or(PIECE_LEN, |left| left.min(PIECE_LEN));
        let filled = file.read_at(&mut buffer[..wanted], offset)?;
        if filled == 0 {
            break;
        }
        file = file.rewrite(&buffer[..filled], offset)?.0;
        offset += filled as u64;
    }
    Ok(file)
}

const PIECE_LEN: usize = 1024 * 1024;
