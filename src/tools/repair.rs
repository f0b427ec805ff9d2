//! Carrying out the plan of a repair.
//!
//! A repair has three parts, each durable before the next begins. First, everything that will be
//! taken out of the log or changed is kept in a new folder, and space is allocated for files that
//! will be extended or created. Then the log is changed. Then it is read again, as a check. The
//! first part changes nothing of the log, and is undone if there is no room for it. After it,
//! nothing can be lost: a crash leaves either a log that is still refused and can be repaired
//! again, or the log that the repair was to make.
//!
//! Files are kept under a second name (a hard link). This needs no space and no assumption about
//! renaming across directories. A name that exists already is an error, so nothing is overwritten.
//! If the file system has no links, and for a segment whose header block will be changed, the file
//! is copied. The folder is in the log's own directory: this is the one place that is known to be
//! on the same disk, to be writable and to be found by an operator who looks at the log. Neither
//! the folder nor the files in it have names that a log uses, so the folder cannot be opened as a
//! log by mistake.

use std::path::PathBuf;

use crate::error::{IoFailure, Result};
use crate::format::segment::Header;
use crate::recovery::bad_pages;
use crate::storage::{Access, Dir, Mode};
use crate::tools::plan::{self, RepairPlan, failed};
use crate::tools::survey::{Depth, Observer, Survey, take};
use crate::tools::work::{Begin, Work, kept_name};
use crate::writer::repair_ops;

/// The result of a repair.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// The folder with every file that was taken out of the log or changed, as it was before, and a
    /// note (`REPAIR.txt`) of what was done. `None` if nothing had to be done.
    ///
    /// Never put these files back. To look at them, copy them to an empty directory.
    pub folder: Option<PathBuf>,
    /// The survey of the log after the repair: it is sound.
    pub survey: Survey,
}

impl RepairPlan {
    /// Executes the plan, and checks that the log is sound afterwards.
    ///
    /// Locks the directory for appending, and first checks that the log has not changed since the
    /// plan was made.
    ///
    /// Crash safe: if the process is killed or the power is cut at any point, nothing that could be
    /// read before is lost, and the repair can be planned and executed again. A folder that an
    /// interrupted repair has created stays.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`](crate::Error::Locked) if the log is open. [`Error::Io`](crate::Error::Io)
    /// if an operation failed, or if the log has changed since the plan was made. In the second
    /// case, plan again. If the disk is too full to begin, the repair undoes what it has done: free
    /// space, and plan again.
    pub fn execute(self) -> Result<Repaired> {
        self.execute_for(None)
    }

    /// Like [`execute`](Self::execute), with an observer of the final check, which reads all of the log.
    ///
    /// # Errors
    ///
    /// The errors of [`execute`](Self::execute).
    pub fn execute_with(self, observer: &mut dyn Observer) -> Result<Repaired> {
        self.execute_for(Some(observer))
    }

    fn execute_for(self, observer: Option<&mut dyn Observer>) -> Result<Repaired> {
        let dir = &self.dir.dir;
        let _lock = self.dir.lock(Access::Append)?;
        let again = plan::make(&self.dir, None)?;
        if again.work != self.work {
            return Err(failed(
                dir,
                "the log has changed since the repair was planned",
            ));
        }
        let folder = match self.is_empty() {
            true => None,
            false => Some(self.dir.block_on(do_all(dir, &again))?),
        };
        let survey = take(dir, Depth::Everything, false, observer)?;
        if !survey.is_sound() {
            return Err(failed(dir, "damage was found again after the repair"));
        }
        Ok(Repaired { folder, survey })
    }
}

async fn do_all(dir: &Dir, plan: &RepairPlan) -> Result<PathBuf, IoFailure> {
    let name = plan.folder.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let made = dir.make_subdir(&name);
    // If it is created and cannot be synced, nothing is in it yet.
    let folder = made.inspect_err(|_| dir.remove_subdir(&name))?;
    if let Err(fault) = prepare(dir, &folder, plan).await {
        if fault.is_storage_full() {
            leave_nothing(dir, &name, &folder);
        }
        return Err(fault);
    }
    change(dir, &plan.work).await?;
    Ok(folder.path().to_owned())
}

/// Does everything that takes space, before anything is taken out of the log. If there is no room for
/// all of it, the log is as before.
async fn prepare(dir: &Dir, folder: &Dir, plan: &RepairPlan) -> Result<(), IoFailure> {
    keep(dir, folder, plan).await?;
    let mut extended = Vec::new();
    let taken = take_space(dir, &plan.work, &mut extended).await;
    if taken.as_ref().is_err_and(IoFailure::is_storage_full) {
        for (name, before) in extended {
            repair_ops::shorten(dir, name, before);
        }
    }
    taken
}

async fn take_space<'a>(
    dir: &Dir,
    work: &'a Work,
    extended: &mut Vec<(&'a str, u64)>,
) -> Result<(), IoFailure> {
    for (name, len) in &work.extend {
        extended.push((name, repair_ops::extend(dir, name, *len).await?));
    }
    if let Some(begin) = work.begin {
        repair_ops::begin(dir, &header(dir, begin)).await?;
    }
    Ok(())
}

/// Removes the kept files again: the log still has them, and space is short. A file that cannot be
/// removed does no harm.
fn leave_nothing(dir: &Dir, name: &str, folder: &Dir) {
    for file in folder.list().unwrap_or_default() {
        let _ = folder.remove(&file);
    }
    let _ = folder.sync();
    dir.remove_subdir(name);
}

/// Makes every file to be removed durable under a second name.
async fn keep(dir: &Dir, folder: &Dir, plan: &RepairPlan) -> Result<(), IoFailure> {
    write_note(folder, plan).await?;
    for name in &plan.work.remove {
        let second = kept_name(name);
        if folder.link_from_parent(name, &second).is_err() {
            copy(dir, name, folder, &second).await?;
        }
    }
    for name in &plan.work.changed() {
        copy(dir, name, folder, &kept_name(name)).await?;
    }
    folder.sync().map(drop)
}

async fn write_note(folder: &Dir, plan: &RepairPlan) -> Result<(), IoFailure> {
    let corruptions = plan.survey.corruptions.iter().map(ToString::to_string);
    let corruptions = corruptions.collect::<Vec<_>>().join("\n");
    let text = format!("{NOTE}{corruptions}\n\nWhat was to be done:\n\n{plan}");
    let file = folder.open(NOTE_NAME, Mode::Create)?;
    file.write_at(text.as_bytes(), 0)?.0.sync().await.map(drop)
}

async fn copy(dir: &Dir, name: &str, folder: &Dir, second: &str) -> Result<(), IoFailure> {
    let from = dir.open(name, Mode::Read)?;
    let mut to = folder.open(second, Mode::Create)?;
    let mut buffer = vec![0; PIECE_LEN];
    let mut offset = 0;
    loop {
        let read = bad_pages::read(&from, &mut buffer, offset)?;
        to = to.write_at(&buffer[..read.filled], offset)?.0;
        offset = match read.bad_page {
            // The page stays a hole, and `REPAIR.txt` names the place.
            Some(page) => bad_pages::next_page(page),
            None if read.filled == 0 => return to.sync().await.map(drop),
            None => offset + read.filled as u64,
        };
    }
}

/// Changes the log. Everything that is taken out has been kept before.
///
/// A new beginning is written before the segments that it replaces are removed: a directory without
/// segments would be a new log that begins at LSN 1. Segments after the end are removed newest
/// first, and the end is sealed when all of them are gone. Until then, one of them, or the link to
/// them, prevents the log from being opened.
async fn change(dir: &Dir, work: &Work) -> Result<(), IoFailure> {
    if let Some(header) = &work.mark_head {
        repair_ops::mark_as_head(dir, header).await?;
    }
    repair_ops::remove(dir, &work.remove)?;
    if let Some(seal) = &work.seal {
        repair_ops::end(dir, &seal.segment, seal.last).await?;
    }
    Ok(())
}

/// The header of the log's new first segment, which never holds a record.
fn header(dir: &Dir, begin: Begin) -> Header {
    Header {
        log_id: begin.log_id.unwrap_or_else(|| dir.new_salt()),
        base: begin.base,
        salt: dir.new_salt(),
        capacity: crate::format::DATA_OFFSET,
        predecessor: None,
    }
}

const NOTE: &str = "\
The log in the directory above this one was damaged, and was repaired. Every file that was
taken out of it or changed is kept here as it was before, under its own name and `.kept`. If
there is none, no file was taken out or changed. (A file that was only extended is not kept.)

Never put these files back into the directory of the log. The log has changed, and may have
new records. A file that is put back is refused, is removed as a truncated segment, or takes
the place of newer records.

To see what is in them, copy them to a new, empty directory, under their names without
`.kept`, and look there:

    mkdir /tmp/before
    for file in *.kept; do cp \"$file\" /tmp/before/\"${file%.kept}\"; done
    tidewal verify /tmp/before
    tidewal dump --salvage /tmp/before

The service can append the records that it still needs to its log again, as new records.

What was damaged:

";
const NOTE_NAME: &str = "REPAIR.txt";
const PIECE_LEN: usize = 1024 * 1024;
