//! Adoption: preparing a recovered log for appending (`docs/durability.md`, "Adoption").
//!
//! What recovery read may be in the system's cache only, marked clean by a sync that failed before
//! the last process ended. So every record that nothing on disk proves durable is written again and
//! synced before it counts as durable. Then the end of the log is sealed.

use crate::error::IoFailure;
use crate::format::names;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::recovered::{LastSegment, Recovered};
use crate::storage::{Dir, File, Mode, PAGE_LEN, Synced};
use crate::writer::segment;
use crate::writer::unshare::{open_to_change, replace};

/// Makes everything recovered durable, and removes leftovers.
pub(super) async fn adopt(dir: &Dir, recovered: &Recovered) -> Result<Synced, IoFailure> {
    // A spare that an earlier process left, even its length, may be in the system's cache only. New
    // spares consist of new writes. The following steps may need the space.
    remove(dir, &recovered.spares);
    if let Some(last) = &recovered.last {
        adopt_last(dir, last, recovered.end).await?;
    }
    // The mark that says they were truncated may have been read from a cache too.
    if let Some(head) = recovered.segments.first()
        && !recovered.stale.is_empty()
    {
        segment::mark_as_head(dir, head).await?;
    }
    remove(dir, &recovered.stale);
    dir.sync()
}

/// A file that cannot be removed does no harm: the next start tries again.
fn remove(dir: &Dir, names: &[String]) {
    names.iter().for_each(|name| drop(dir.remove(name)));
}

/// The records are synced before the seal is written, because the seal says that they are durable.
/// If there is a seal already, they are, and nothing must be written again.
pub(super) async fn adopt_last(dir: &Dir, last: &LastSegment, end: Lsn) -> Result<(), IoFailure> {
    let name = names::segment(last.header.base);
    let is_durable = last.sealed || last.unproven_from >= last.end;
    let file = match is_durable || is_active(Mutant::AdoptedUnsynced) {
        true => open_to_change(dir, &name, last.end).await?,
        false => make_durable(dir, &name, last).await?,
    };
    if is_active(Mutant::RecoveredAppendedTo) {
        return Ok(());
    }
    segment::seal(file, &last.header.key(), end, last.end).await
}

/// Makes a segment durable, regardless of the state of the cache.
///
/// A copy replaces it. What recovery has read may be in the cache only, over a bad sector. The copy
/// is durable before the original file loses its name. Only if there is no room for a copy, the
/// file is overwritten with itself, so a full disk does not prevent opening.
async fn make_durable(dir: &Dir, name: &str, last: &LastSegment) -> Result<File, IoFailure> {
    if !is_active(Mutant::AdoptedInPart) {
        let file = dir.open(name, Mode::Read)?;
        match replace(dir, name, file, last.end).await {
            Err(fault) if fault.is_storage_full() => {}
            Err(fault) => return Err(fault),
            Ok(copy) => return dir.sync().map(|_| copy),
        }
    }
    let file = open_to_change(dir, name, last.end).await?;
    Ok(rewrite(file, last)?.sync().await?.0)
}

/// Overwrites the pages that are not proven durable with themselves. It writes whole pages, because
/// to write a part of a page the system may have to read the rest from the disk.
fn rewrite(mut file: File, last: &LastSegment) -> Result<File, IoFailure> {
    let to = match is_active(Mutant::AdoptedInPart) {
        true => last.end,
        false => last.end.next_multiple_of(PAGE_LEN),
    };
    let mut buffer = vec![0; PIECE_LEN];
    let mut offset = last.unproven_from - last.unproven_from % PAGE_LEN;
    while offset < to {
        let piece = piece_of(&mut buffer, to - offset);
        let filled = file.read_at(piece, offset)?;
        if filled == 0 {
            break;
        }
        file = file.rewrite(&piece[..filled], offset)?.0;
        offset += filled as u64;
    }
    Ok(file)
}

fn piece_of(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    &mut buffer[..len]
}

const PIECE_LEN: usize = 1024 * 1024;
