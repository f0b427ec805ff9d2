//! The open segment: the one that is being written.

use crate::error::IoFailure;
use crate::format::frame::Key;
use crate::format::segment::{self, Header, Predecessor};
use crate::format::statement::StatementKind;
use crate::format::{self, names};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active, skip_next_sync};
use crate::queue::frames::Frames;
#[cfg(tidewal_mutants)]
use crate::recovered::LastSegment;
use crate::retention::Finished;
use crate::storage::{Dir, File, Mode, Onto, Present, Synced, Wrote};
use crate::writer::disk_error::DiskError;
use crate::writer::spare_factory::Spare;
use crate::writer::statements;
use crate::writer::zero_fill::ZeroFill;

/// An open segment.
///
/// As with its file, operations that can fail take the segment and give it back on success only.
pub(super) struct Segment {
    file: File,
    header: Header,
    key: Key,
    /// The offset of the next frame.
    end: u64,
    /// The offset at which the synced records end.
    synced: u64,
    ahead: ZeroFill,
    next: Lsn,
    /// Whether the mark is up to date.
    is_marked: bool,
}

impl Segment {
    /// Turns a spare file into a segment.
    ///
    /// The file gets its name only when its header and its full length are durable, so a file with
    /// a segment's name is always a segment. It is used only when its name is durable too.
    ///
    /// `onto` says whether it replaces a segment without records.
    pub(super) async fn open(
        dir: &Dir,
        spare: Spare,
        header: Header,
        onto: Onto,
    ) -> Result<Self, DiskError> {
        let Spare { name, file, ahead } = spare;
        let file = prepare(file, &header)
            .await
            .map_err(DiskError::of_preparation)?;
        let segment = names::segment(header.base);
        rename(dir, (&name, &file), &segment, onto)?;
        let file = file.with_name(segment);
        skip_next_sync(match header.predecessor {
            None => Mutant::CreateUnsynced,
            Some(_) => Mutant::RenameUnsynced,
        });
        dir.sync().map_err(DiskError::Broken)?;
        let (end, next) = (format::DATA_OFFSET, header.base);
        Ok(Self {
            file,
            header,
            key: header.key(),
            end,
            synced: end,
            ahead,
            next,
            is_marked: true,
        })
    }

    #[cfg(tidewal_mutants)]
    pub(super) fn resume(dir: &Dir, last: &LastSegment, next: Lsn) -> Result<Self, DiskError> {
        let header = last.header;
        let file = dir.open(&names::segment(header.base), Mode::Write);
        Ok(Self {
            file: file.map_err(DiskError::Broken)?,
            header,
            key: header.key(),
            end: last.end,
            synced: last.end,
            ahead: ZeroFill::DONE,
            next,
            is_marked: true,
        })
    }

    /// Whether this is the segment with the given header.
    pub(super) fn has(&self, header: &Header) -> bool {
        self.header == *header
    }

    /// The LSN of the next record.
    pub(super) fn next(&self) -> Lsn {
        self.next
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// The offset at which the records end.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The number of bytes left for records.
    pub(super) fn room(&self) -> u64 {
        self.header.capacity - self.end
    }

    pub(super) fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// The segment as the predecessor that the next one names.
    pub(super) fn as_predecessor(&self) -> Predecessor {
        Predecessor {
            salt: self.header.salt,
            end: self.end,
        }
    }

    /// The segment as a finished one.
    pub(super) fn as_finished(&self) -> Finished {
        Finished {
            header: self.header,
            last: self.next.prev(),
            end: self.end,
        }
    }

    /// Writes encoded records. `next` is the LSN after the last of them.
    pub(super) fn write(mut self, frames: &Frames, next: Lsn) -> Result<(Self, Wrote), IoFailure> {
        let (file, receipt) =
            frames.write_with(|pieces| self.file.write_all_at(pieces, self.end))?;
        self.file = file;
        self.end += frames.len() as u64;
        self.next = next;
        self.is_marked = false;
        Ok((self, receipt))
    }

    /// Syncs everything written. May also write zeros ahead of the next records.
    pub(super) async fn sync(mut self) -> Result<(Self, Synced), IoFailure> {
        let unsynced = (self.synced, self.end);
        let file = self
            .ahead
            .before_sync(self.file, unsynced, self.header.capacity)?;
        skip_next_sync(Mutant::AnswerUnsynced);
        let (file, receipt) = file.sync().await?;
        self.file = file;
        self.synced = self.end;
        Ok((self, receipt))
    }

    /// Checks that the file is still present under its name.
    pub(super) fn check_present(&self) -> Result<Present, IoFailure> {
        self.file.check_present()
    }

    /// Writes the mark, which says that everything written is durable. The caller must ensure that. The mark is
    /// not synced. If the mark is lost, only the ability to distinguish damage of the last batch from a torn
    /// tail is lost.
    ///
    /// So a failure has no effect. The mark is written through a separate descriptor, because the
    /// one for records would be consumed by a failure.
    pub(super) fn mark(&mut self, dir: &Dir) {
        let file = dir.open(&names::segment(self.header.base), Mode::Write);
        let marked = file.and_then(|file| {
            statements::state(file, &self.key, StatementKind::Mark, self.next.prev())
        });
        drop(marked);
        self.is_marked = true;
    }

    /// Writes and syncs the head mark, through the segment's own file even if that has another
    /// name: a copy under the segment's name would be taken for a replaced file.
    pub(super) async fn mark_as_head(mut self) -> Result<Self, IoFailure> {
        self.file = statements::write_head_mark(self.file, &self.header)
            .await?
            .0;
        Ok(self)
    }

    /// Seals the segment. Everything in it must be durable.
    pub(super) async fn seal(self) -> Result<(), IoFailure> {
        statements::seal(self.file, &self.key, self.next.prev(), self.end).await
    }

    /// Links the segment to a successor. Everything in it must be durable.
    pub(super) async fn link(self) -> Result<(), IoFailure> {
        let (room, end) = (self.room(), self.end);
        let file = statements::link(self.file, &self.key, self.next.prev()).await?;
        if room > self.header.capacity / 4 {
            // The segment was finished before it was full.
            file.release(end);
        }
        Ok(())
    }
}

/// Gives a prepared file the name of its segment.
///
/// If it is uncertain whether a failed rename did something, the log is poisoned: the name may
/// belong to a segment that the log does not know about, and further records in the old segment
/// would be after its recorded end.
fn rename(
    dir: &Dir,
    (spare, file): (&str, &File),
    segment: &str,
    onto: Onto,
) -> Result<(), DiskError> {
    let renamed = match onto {
        Onto::Nothing => dir.rename(spare, segment),
        Onto::Anything => dir.rename_over(spare, segment),
    };
    renamed.map_err(|fault| match did_nothing(dir, file, segment, &fault) {
        true => DiskError::Refused(fault),
        false => DiskError::Broken(fault),
    })
}

/// Whether a failed rename certainly did nothing: the system refused to begin, or the file still
/// has its old name and the new name is absent or was taken before.
///
/// The error alone does not show it. A remote file system may rename the file, lose the answer,
/// repeat the request, and report the result of the second attempt: the old name is missing, or the
/// new one is taken.
fn did_nothing(dir: &Dir, file: &File, segment: &str, fault: &IoFailure) -> bool {
    let is_absent = || {
        let found = dir.open(segment, Mode::Read);
        found.is_err_and(|fault| fault.is_not_found())
    };
    if is_active(Mutant::RenameErrorBelieved) && (fault.is_not_found() || fault.is_taken()) {
        return true;
    }
    fault.is_refused_at_once()
        || (file.check_present().is_ok() && (fault.is_taken() || is_absent()))
}

/// Writes and syncs the header block of a file that is not a segment yet. If that fails, the file
/// is discarded, because what a failed sync left in the cache must not be used.
async fn prepare(file: File, header: &Header) -> Result<File, IoFailure> {
    let mut block = [0; format::HEADER_BLOCK_LEN];
    block[..segment::HEADER_LEN].copy_from_slice(&header.encode());
    let (file, _) = file.write_at(&block, 0)?;
    skip_next_sync(Mutant::HeaderUnsynced);
    Ok(file.sync().await?.0)
}
