//! What a segment says about itself: seals, links and head marks, in a file of any segment.

use crate::error::IoFailure;
use crate::format::frame::Key;
use crate::format::names;
use crate::format::segment::{self, Header};
use crate::format::statement::{Statement, StatementKind};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, skip_next_sync};
use crate::storage::{Dir, File, Synced};
use crate::writer::disk_error::DiskError;
use crate::writer::unshare::open_to_change;

/// Writes and syncs a seal that names the record `last`, and frees the space from `end` on: nothing
/// more is appended, and a service that restarts often must not fill the disk.
pub(super) async fn seal(file: File, key: &Key, last: Lsn, end: u64) -> Result<(), IoFailure> {
    let (file, _) = state(file, key, StatementKind::Seal, last)?.sync().await?;
    file.release(end);
    Ok(())
}

/// Like [`seal`], for a segment that has a successor.
pub(super) async fn link(file: File, key: &Key, last: Lsn) -> Result<File, IoFailure> {
    let (file, _) = state(file, key, StatementKind::Link, last)?.sync().await?;
    Ok(file)
}

/// Overwrites the segment's statement.
pub(super) fn state(
    file: File,
    key: &Key,
    kind: StatementKind,
    last: Lsn,
) -> Result<File, IoFailure> {
    let statement = Statement::new(kind, last).encode(key);
    Ok(file
        .write_at(&statement, segment::STATEMENT_OFFSET as u64)?
        .0)
}

/// Writes and syncs the head mark of a segment.
pub(super) async fn mark_as_head(dir: &Dir, header: &Header) -> Result<Synced, DiskError> {
    let file = open_to_change(dir, &names::segment(header.base), u64::MAX).await?;
    let marked = write_head_mark(file, header).await;
    marked.map(|(_, synced)| synced).map_err(DiskError::Broken)
}

pub(super) async fn write_head_mark(
    file: File,
    header: &Header,
) -> Result<(File, Synced), IoFailure> {
    let mark = segment::encode_head_mark(header);
    let (file, _) = file.write_at(&mark, segment::HEAD_MARK_OFFSET as u64)?;
    skip_next_sync(Mutant::HeadMarkUnsynced);
    file.sync().await
}
