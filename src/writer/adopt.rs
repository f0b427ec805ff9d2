//! Adoption: preparing a recovered log for appending (`docs/durability.md`, "Adoption").
//!
//! What recovery read may be in the system's cache only, marked clean by a sync that failed before
//! the last process ended. So every record that nothing on disk proves durable is written again and
//! synced before it counts as durable. Then the end of the log is sealed.

use std::io;
use std::path::Path;

use crate::error::IoFailure;
use crate::format::names;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::recovered::{LastSegment, Recovered};
use crate::storage::{Dir, File, Mode, PAGE_LEN, Synced};
use crate::writer::statements;
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
        statements::mark_as_head(dir, head).await?;
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
    statements::seal(file, &last.header.key(), end, last.end).await
}

/// Makes a segment durable, regardless of the state of the cache.
///
/// A copy replaces it. What recovery has read may be in the cache only, over a bad sector. The copy
/// is durable before the original file loses its name. The file is not overwritten in place, not
/// even on a full disk. Ext4 would take a cached page for written although its first write has
/// failed, and to drop that page from the cache first may be to drop the only readable copy.
async fn make_durable(dir: &Dir, name: &str, last: &LastSegment) -> Result<File, IoFailure> {
    #[cfg(tidewal_mutants)]
    if is_active(Mutant::AdoptedInPart) {
        return overwrite(dir, name, last).await;
    }
    let renamed = match copy(dir, name, last).await {
        Err(fault) if fault.is_storage_full() => {
            release_unused(dir, name, last)?;
            let copied = copy(dir, name, last).await;
            copied.map_err(|fault| without_room(&fault, &dir.path_of(name), last))?
        }
        copied => copied?,
    };
    dir.sync()?;
    Ok(renamed)
}

async fn copy(dir: &Dir, name: &str, last: &LastSegment) -> Result<File, IoFailure> {
    let file = dir.open(name, Mode::Read)?;
    replace(dir, name, file, last.end).await
}

/// Frees the space after the end of a segment, which is not needed: nothing is appended to it. The
/// copy may fit there.
fn release_unused(dir: &Dir, name: &str, last: &LastSegment) -> Result<(), IoFailure> {
    let file = dir.open(name, Mode::Write)?;
    if file.is_exclusive()? {
        file.release(last.end.next_multiple_of(PAGE_LEN));
    }
    Ok(())
}

/// The error that says what to do if a full disk keeps the log from being opened.
fn without_room(fault: &IoFailure, path: &Path, last: &LastSegment) -> IoFailure {
    let (error, len) = (fault.io_error(), last.end);
    if !fault.is_storage_full() {
        return fault.clone();
    }
    let reason =
        format!("{error}: make room for a copy of {len} bytes. Until then the log can be read");
    IoFailure::new("make durable", path, io::Error::new(error.kind(), reason))
}

/// Overwrites a part of the pages that are not proven durable.
#[cfg(tidewal_mutants)]
async fn overwrite(dir: &Dir, name: &str, last: &LastSegment) -> Result<File, IoFailure> {
    let mut file = dir.open(name, Mode::Write)?;
    let offset = last.unproven_from - last.unproven_from % PAGE_LEN;
    let mut bytes = vec![0; usize::try_from(last.end - offset).expect("it is in memory")];
    file.read_at(&mut bytes, offset)?;
    file.evict(offset, bytes.len() as u64);
    file = file.write_at(&bytes, offset)?.0;
    Ok(file.sync().await?.0)
}
