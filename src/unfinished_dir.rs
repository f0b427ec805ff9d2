//! The directory of a log that is under construction.
//!
//! From the first step to the last, it holds a file that marks it as unfinished. Creating that file keeps other
//! imports out. Removing it is the last step.

use crate::error::{Corruption, CorruptionKind, Error, IoFailure, Result};
use crate::format::names;
use crate::format::segment::{self, Header, Predecessor};
use crate::format::statement::{Statement, StatementKind};
use crate::format::{DATA_OFFSET, HEADER_BLOCK_LEN};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, skip_next_sync};
use crate::storage::{Access, Dir, File, Location, Mode, Opening};
#[cfg(feature = "import")]
use crate::storage::{Lock, Opener};

/// A directory under construction. Segments are written in the order of their LSNs.
pub(crate) struct UnfinishedDir {
    dir: Dir,
    /// Excludes other imports if the directory may hold the files of an interrupted one.
    #[cfg(feature = "import")]
    _lock: Option<Lock>,
    /// The names of the files created in it. The first one marks the directory as unfinished.
    made: Vec<String>,
    newest: Option<Draft>,
    /// The last record of the segment before the newest one, and how that segment ended.
    before: Option<(Lsn, Predecessor)>,
}

/// A segment that is being written. Its records are written first, and its header block last.
struct Draft {
    file: File,
    header: Header,
    /// Where the next bytes go.
    offset: u64,
    /// The last record, and the offset of its end.
    end: (Lsn, u64),
}

impl UnfinishedDir {
    /// Begins in a directory that does not exist or is empty.
    pub(crate) async fn begin(location: &Location) -> Result<Self> {
        let mut unfinished = Self::new(open(location)?);
        if let Some(file) = files(&unfinished.dir)?.into_iter().next() {
            return Err(not_empty(&unfinished.dir, file));
        }
        match unfinished.mark_unfinished().await {
            Ok(()) => Ok(unfinished),
            Err(error) => {
                unfinished.give_up();
                Err(error)
            }
        }
    }

    /// Begins in a directory that does not exist or is empty, or in which an earlier import was
    /// interrupted. The files of that import are removed.
    #[cfg(feature = "import")]
    pub(crate) async fn begin_again(location: &Location) -> Result<Self> {
        let dir = open(location)?;
        check_before_lock(&dir)?;
        let lock = dir.lock(Access::Append, &Opener::default()).await?;
        let mut unfinished = Self {
            _lock: Some(lock),
            ..Self::new(dir)
        };
        let leftovers = leftovers(&unfinished.dir, files(&unfinished.dir)?)?;
        if leftovers.is_empty() {
            unfinished.mark_unfinished().await?;
            return Ok(unfinished);
        }
        // The mark of the earlier import may not be durable.
        unfinished.dir.sync()?;
        let mut segments = leftovers.iter().filter(|name| *name != names::RESTORING);
        segments.try_for_each(|name| unfinished.dir.remove(name))?;
        unfinished.dir.sync()?;
        Ok(unfinished)
    }

    fn new(dir: Dir) -> Self {
        Self {
            dir,
            #[cfg(feature = "import")]
            _lock: None,
            made: Vec::new(),
            newest: None,
            before: None,
        }
    }

    /// Marks the directory as unfinished, durably, before any other change to it.
    async fn mark_unfinished(&mut self) -> Result<()> {
        let mark = self.create(names::RESTORING)?;
        mark.write_at(UNFINISHED, 0)?.0.sync().await?;
        self.dir.sync()?;
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<File, IoFailure> {
        let file = self.dir.open(name, Mode::Create)?;
        self.made.push(name.to_owned());
        Ok(file)
    }

    /// Begins the next segment. The previous one gets a link. If the header names no predecessor
    /// although there is a previous segment, it gets that one.
    pub(crate) async fn begin_segment(&mut self, mut header: Header) -> Result<()> {
        self.end_newest(StatementKind::Link).await?;
        if let Some((last, end)) = self.before {
            header.predecessor = header.predecessor.or(Some(end));
            if header.predecessor != Some(end) || header.base != last.next() {
                return Err(self.does_not_follow(&header, last).into());
            }
        }
        self.newest = Some(Draft {
            file: self.create(&names::segment(header.base))?,
            header,
            offset: DATA_OFFSET,
            end: (header.base.prev(), DATA_OFFSET),
        });
        Ok(())
    }

    fn does_not_follow(&self, header: &Header, last: Lsn) -> Corruption {
        Corruption {
            kind: CorruptionKind::ChainBroken,
            segment: self.dir.path_of(&names::segment(header.base)),
            offset: 0,
            first: last.next(),
            last,
        }
    }

    /// Writes the next bytes of the segment's records.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), IoFailure> {
        self.change(|draft| {
            let offset = draft.offset + bytes.len() as u64;
            let (file, _) = draft.file.write_at(bytes, draft.offset)?;
            Ok(Draft {
                file,
                offset,
                ..draft
            })
        })
    }

    /// Syncs the bytes of the segment written so far, so a later sync has less to do.
    pub(crate) async fn sync_segment(&mut self) -> Result<(), IoFailure> {
        if let Some(draft) = self.newest.take() {
            let (file, _) = draft.file.sync().await?;
            self.newest = Some(Draft { file, ..draft });
        }
        Ok(())
    }

    /// Ends the segment's records with `last`, at `end`. Bytes that were written after `end` are
    /// cleared.
    pub(crate) fn end_segment(&mut self, last: Lsn, end: u64) -> Result<(), IoFailure> {
        self.change(|draft| {
            Ok(Draft {
                file: clear(draft.file, end, draft.offset)?,
                end: (last, end),
                ..draft
            })
        })
    }

    /// Changes the open file. After a failure there is no file to change.
    fn change(
        &mut self,
        change: impl FnOnce(Draft) -> Result<Draft, IoFailure>,
    ) -> Result<(), IoFailure> {
        self.newest = self.newest.take().map(change).transpose()?;
        Ok(())
    }

    /// Makes the segment that was written last durable, with this statement.
    async fn end_newest(&mut self, kind: StatementKind) -> Result<(), IoFailure> {
        let Some(draft) = self.newest.take() else {
            return Ok(());
        };
        let (last, end) = draft.end;
        let salt = draft.header.salt;
        let is_first = self.before.is_none();
        self.before = Some((last, Predecessor { salt, end }));
        draft.finish(kind, is_first).await
    }

    /// Removes the mark once all of the log is durable.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.end_newest(StatementKind::Seal).await?;
        skip_next_sync(Mutant::UnfinishedMarkRemovedEarly);
        self.dir.sync()?;
        self.dir.remove(names::RESTORING)?;
        self.dir.sync()?;
        Ok(())
    }

    /// Removes what was created, so the directory can be used again. If that fails, the files that
    /// remain are still marked as unfinished.
    pub(crate) fn give_up(self) {
        let _ = self.remove_all();
    }

    /// Removes the files. The mark goes last, because it may belong to another import that began a moment
    /// earlier.
    fn remove_all(&self) -> Result<()> {
        let mut made = self.made.iter();
        let Some(mark) = made.next() else {
            return Ok(());
        };
        made.try_for_each(|name| self.dir.remove(name))?;
        self.dir.sync()?;
        Ok(self.dir.remove(mark)?)
    }
}

impl Draft {
    /// Gives the segment its header block and its length. After the records, the file has a hole.
    async fn finish(self, kind: StatementKind, is_first: bool) -> Result<(), IoFailure> {
        let block = self.header_block(kind, is_first);
        let (file, _) = self.file.write_at(&block, 0)?;
        let file = match file.len()? < self.header.capacity {
            true => file.write_at(&[0], self.header.capacity - 1)?.0,
            false => file,
        };
        file.sync().await.map(drop)
    }

    fn header_block(&self, kind: StatementKind, is_first: bool) -> [u8; HEADER_BLOCK_LEN] {
        let mut block = [0; HEADER_BLOCK_LEN];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.header.encode());
        if is_first && self.header.predecessor.is_some() {
            let mark = segment::encode_head_mark(&self.header);
            put(segment::HEAD_MARK_OFFSET, &mark);
        }
        let (last, _) = self.end;
        let statement = Statement::new(kind, last).encode(&self.header.key());
        put(segment::STATEMENT_OFFSET, &statement);
        block
    }
}

fn open(location: &Location) -> Result<Dir, IoFailure> {
    location.open(Opening {
        access: Access::Append,
        create: true,
        allow_unsynced: false,
    })
}

/// Refuses a directory with other files before the lock file is created in it. A directory that holds nothing of a log
/// would look like one with that file. A directory with a segment is a log's already, and may be locked.
#[cfg(feature = "import")]
fn check_before_lock(dir: &Dir) -> Result<()> {
    let files = files(dir)?;
    let is_of_log = |name: &String| name == names::LOCK || names::parse_segment(name).is_some();
    match files.iter().any(is_of_log) {
        true => Ok(()),
        false => leftovers(dir, files).map(drop),
    }
}

/// The files of an interrupted import, of all these. Other files must not be touched.
#[cfg(feature = "import")]
fn leftovers(dir: &Dir, mut files: Vec<String>) -> Result<Vec<String>> {
    files.retain(|name| name != names::LOCK);
    let is_unfinished = files.iter().any(|name| name == names::RESTORING);
    let is_leftover = |name: &String| {
        let is_of_log = names::parse_segment(name).is_some() || name == names::RESTORING;
        is_unfinished && is_of_log
    };
    match files.iter().find(|name| !is_leftover(name)) {
        None => Ok(files),
        Some(file) => Err(not_empty(dir, file.clone())),
    }
}

fn not_empty(dir: &Dir, file: String) -> Error {
    let dir = dir.path().to_owned();
    Error::NotEmpty { dir, file }
}

/// Overwrites unwanted bytes with zeros.
fn clear(mut file: File, from: u64, to: u64) -> Result<File, IoFailure> {
    let zeros = [0; HEADER_BLOCK_LEN];
    let mut offset = from;
    while offset < to {
        let left = usize::try_from(to - offset).unwrap_or(usize::MAX);
        let len = left.min(zeros.len());
        file = file.write_at(&zeros[..len], offset)?.0;
        offset += len as u64;
    }
    Ok(file)
}

/// The files in the directory, except those that a file system has in its root.
fn files(dir: &Dir) -> Result<Vec<String>, IoFailure> {
    let mut files = dir.list()?;
    files.retain(|name| name != LOST_AND_FOUND);
    Ok(files)
}

/// The text in the file, for an operator who finds it.
const UNFINISHED: &[u8] =
    b"A backup or a restore into this directory is under way, or was cut short.\n\
      Restore again, or remove the directory and make the backup again.\n";

const LOST_AND_FOUND: &str = "lost+found";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::DiskPath;

    /// Both backups found the directory empty. The second one removed the mark of the first one.
    #[tokio::test]
    async fn regression_a_backup_that_another_one_overtakes_leaves_its_files_alone() {
        let scratch = tempfile::tempdir().expect("there is room for a directory");
        let location = DiskPath::location(scratch.path());
        let mut late = UnfinishedDir::new(open(&location).expect("it is there"));
        let first = UnfinishedDir::begin(&location).await;
        let mut first = first.expect("the directory is empty");
        late.mark_unfinished().await.expect_err("it is taken");
        late.give_up();
        first.create("a segment").expect("it can be created");
        let finished = first.finish().await;
        finished.expect("nothing of it was removed");
    }
}
