//! What a repair writes: the same statements and marks as an open log, into one that is not open.

use crate::error::IoFailure;
use crate::format::segment::Header;
use crate::format::{HEADER_BLOCK_LEN, names};
use crate::lsn::Lsn;
use crate::recovered::LastSegment;
use crate::storage::{Dir, File, Mode, Onto};
use crate::writer::adopt;
use crate::writer::segment::Segment;
use crate::writer::spare_factory::{Spare, create_free};
use crate::writer::statements;
use crate::writer::unshare::open_to_change;
use crate::writer::zero_fill::ZeroFill;

/// Creates a segment without records, and seals it. If that fails before the file has its name, or if
/// there is no room for the seal, the file is removed.
pub(crate) async fn begin(dir: &Dir, header: &Header) -> Result<(), IoFailure> {
    let (name, file) = create_free(dir)?;
    let begun = begin_in(dir, name.clone(), file, header).await;
    if begun.is_err() {
        let _ = dir.remove(&name);
    }
    begun
}

async fn begin_in(dir: &Dir, name: String, file: File, header: &Header) -> Result<(), IoFailure> {
    let file = file.allocate(header.capacity)?;
    let ahead = ZeroFill::DONE;
    match Segment::open(dir, Spare { name, file, ahead }, *header, Onto::Nothing).await {
        Ok(segment) => {
            let sealed = segment.seal().await;
            if sealed.as_ref().is_err_and(IoFailure::is_storage_full) {
                let _ = dir.remove(&names::segment(header.base));
            }
            sealed
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes and syncs the head mark of this segment.
pub(crate) async fn mark_as_head(dir: &Dir, header: &Header) -> Result<(), IoFailure> {
    statements::mark_as_head(dir, header).await?;
    Ok(())
}

/// Extends a file to its full length, and returns its length before. If that fails, the file is as
/// before.
pub(crate) async fn extend(dir: &Dir, name: &str, len: u64) -> Result<u64, IoFailure> {
    let before = dir.open(name, Mode::Read)?.len()?;
    let extended = extend_to(dir, name, len).await;
    if extended.is_err() {
        shorten(dir, name, before);
    }
    extended.map(|()| before)
}

async fn extend_to(dir: &Dir, name: &str, len: u64) -> Result<(), IoFailure> {
    complete_header_block(dir, name).await?;
    let file = open_to_change(dir, name, u64::MAX).await?;
    file.allocate(len)?.sync().await.map(drop)
}

/// Takes an extension back. If that fails, the zeros that stay do no harm.
pub(crate) fn shorten(dir: &Dir, name: &str, before: u64) {
    if let Ok(file) = dir.open(name, Mode::Write) {
        file.shorten(before);
    }
}

/// Replaces a file that ends within its header block by a durable copy with the whole block.
///
/// After a power cut, the bytes that only a new length covers may hold anything. Reserved bytes that are not
/// zero would make it a segment of a later version, which is not repaired.
async fn complete_header_block(dir: &Dir, name: &str) -> Result<(), IoFailure> {
    let file = dir.open(name, Mode::Read)?;
    let mut block = [0; HEADER_BLOCK_LEN];
    if file.read_at(&mut block, 0)? == block.len() {
        return Ok(());
    }
    let (spare, copy) = create_free(dir)?;
    let written = match copy.write_at(&block, 0) {
        Ok((copy, _)) => copy.sync().await.map(drop),
        Err(fault) => Err(fault),
    };
    let replaced = written.and_then(|()| dir.rename_over(&spare, name));
    if replaced.is_err() {
        let _ = dir.remove(&spare);
    }
    replaced?;
    dir.sync().map(drop)
}

/// Removes files, in this order, and makes the removal durable.
pub(crate) fn remove(dir: &Dir, names: &[String]) -> Result<(), IoFailure> {
    names.iter().try_for_each(|name| dir.remove(name))?;
    dir.sync().map(drop)
}

/// Makes the records of a segment durable up to its new end, and seals it there.
pub(crate) async fn end(dir: &Dir, segment: &LastSegment, last: Lsn) -> Result<(), IoFailure> {
    adopt::adopt_last(dir, segment, last).await
}
