//! A copy that replaces a segment.
//!
//! A segment is replaced if what was read may be in the cache only, or if the file has another
//! name: a hard-link backup (`cp -al`) shares its files with the log. After the last append, a
//! segment still gets changes in its header block: a seal, a link or the head mark. In a backup,
//! each of these would be wrong.

use crate::error::IoFailure;
use crate::storage::{Dir, File, Mode};
use crate::writer::disk_error::DiskError;
use crate::writer::spare_factory;

/// Opens a segment to be changed. If it has another name, it is first replaced by a copy that has
/// the same bytes up to `end`. If there is no room for a copy, the file itself is changed, whatever
/// names it has.
pub(super) async fn open_to_change(dir: &Dir, name: &str, end: u64) -> Result<File, DiskError> {
    let file = dir.open(name, Mode::Write);
    let file = file.map_err(DiskError::of_preparation)?;
    match file.is_exclusive() {
        Ok(true) => return Ok(file),
        Ok(false) => {}
        Err(fault) => return Err(DiskError::of_preparation(fault)),
    }
    let copy = match replace(dir, name, file, end).await {
        // A full disk must prevent neither opening nor truncating.
        Err(fault) if fault.is_storage_full() => {
            let file = dir.open(name, Mode::Write);
            return file.map_err(DiskError::of_preparation);
        }
        copy => copy.map_err(DiskError::of_preparation)?,
    };
    // The change must be in the file that has the name after a power cut.
    dir.sync().map_err(DiskError::Broken)?;
    Ok(copy)
}

/// Replaces a file by a durable copy. The replacement is durable once the directory is synced.
///
/// Only the bytes before `end` count. If anything fails, the original keeps its name.
pub(super) async fn replace(
    dir: &Dir,
    name: &str,
    file: File,
    end: u64,
) -> Result<File, IoFailure> {
    let (spare, copy) = spare_factory::create_free(dir)?;
    let copied = match copy_to(&file, copy, end) {
        Ok(copy) => copy.sync().await,
        Err(fault) => Err(fault),
    };
    let renamed = copied.and_then(|(copy, _)| {
        dir.rename_over(&spare, name)?;
        Ok(copy.with_name(name.into()))
    });
    if renamed.is_err() {
        // If that fails, the next start finds and removes it.
        let _ = dir.remove(&spare);
    }
    renamed
}

/// Copies bytes to a new file of the same length. After these bytes, and in place of zeros, the
/// copy has holes: nothing is appended to it.
fn copy_to(file: &File, mut copy: File, end: u64) -> Result<File, IoFailure> {
    let len = file.len()?;
    let mut buffer = vec![0; PIECE_LEN];
    let (mut offset, mut copied, end) = (0, 0, end.min(len));
    while offset < end {
        let wanted = usize::try_from(end - offset).map_or(PIECE_LEN, |left| left.min(PIECE_LEN));
        let filled = file.read_at(&mut buffer[..wanted], offset)?;
        if filled == 0 {
            break;
        }
        for piece in buffer[..filled].chunks(HOLE_LEN) {
            let next = offset + piece.len() as u64;
            if piece.iter().any(|&byte| byte != 0) {
                copy = copy.write_at(piece, offset)?.0;
                copied = next;
            }
            offset = next;
        }
    }
    match copied < len {
        true => Ok(copy.write_at(&[0], len - 1)?.0),
        false => Ok(copy),
    }
}

const PIECE_LEN: usize = 1024 * 1024;

/// The shortest run of zeros that is left out.
const HOLE_LEN: usize = 64 * 1024;
