//! A copy that takes a segment's place.
//!
//! It does so where what was read may be in the cache only, and where the file has another name: a backup
//! of hard links (`cp -al`) shares its files with the log. A segment that nothing is appended to any more still gets a word into its header block later: that it was sealed, that it has a successor, that
//! the log begins with it. In a backup each of these would be wrong.

use crate::error::IoFailure;
use crate::storage::{Dir, File, Mode};
use crate::writer::segment::DiskError;
use crate::writer::spares;

/// Opens a segment to be changed. If it has another name it is replaced by a copy first, of which the
/// bytes up to `end` are those of the segment. Where there is no room for a copy the file is changed as it
/// is, whatever names it has.
pub(super) async fn open_to_change(dir: &Dir, name: &str, end: u64) -> Result<File, DiskError> {
    let file = dir.open(name, Mode::Write);
    let file = file.map_err(DiskError::of_preparation)?;
    match file.is_exclusive() {
        Ok(true) => return Ok(file),
        Ok(false) => {}
        Err(fault) => return Err(DiskError::of_preparation(fault)),
    }
    let copy = match replace(dir, name, file, end).await {
        // A full disk keeps no log from opening, nor from truncating.
        Err(fault) if fault.is_storage_full() => {
            let file = dir.open(name, Mode::Write);
            return file.map_err(DiskError::of_preparation);
        }
        copy => copy.map_err(DiskError::of_preparation)?,
    };
    // What is written now has to be in the file that has the name after a power cut.
    dir.sync().map_err(DiskError::Broken)?;
    Ok(copy)
}

/// Gives the name of a file to a copy of it, which is durable; the name is so once the directory is synced.
///
/// Of the file only what is before `end` counts. If anything fails it keeps its name.
pub(super) async fn replace(
    dir: &Dir,
    name: &str,
    file: File,
    end: u64,
) -> Result<File, IoFailure> {
    let (spare, copy) = spares::create_free(dir)?;
    let copied = match copy_to(&file, copy, end) {
        Ok(copy) => copy.sync().await,
        Err(fault) => Err(fault),
    };
    let renamed = copied.and_then(|(copy, _)| {
        dir.rename_over(&spare, name)?;
        Ok(copy.known_as(name.into()))
    });
    if renamed.is_err() {
        // If that fails it will be found, and removed, at the next start.
        let _ = dir.remove(&spare);
    }
    renamed
}

/// Copies bytes to a new file, which becomes as long as the old one. Behind them, and where there are zeros,
/// it has holes: nothing is appended to a file that is copied.
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

/// Zeros that are left out have at least this length.
const HOLE_LEN: usize = 64 * 1024;
