//! Doing what a plan says.
//!
//! Three parts, each durable before the next begins: everything that will be taken out of the log or
//! changed is kept in a new folder; the log is changed; and it is read again, to see. In the first part
//! nothing of the log changes. From then on nothing can be lost any more, and what a crash leaves is
//! either still refused, and can be repaired again, or what the repair was to make of it.
//!
//! Files are kept by a second name (a hard link), so that it needs no space and no assumption about
//! renaming across directories, and is never written over: a name that exists is an error. Where the
//! file system has no links, and for a segment that will be changed, it is a copy. The folder lies in
//! the log's own directory, because that is the one place that is known to be on the same disk, to be
//! writable and to be looked at by whoever looks at the log; its name is none of the log's, and the files
//! in it have names of no segment, so that nobody can open it by mistake.

use std::io;
use std::path::PathBuf;

use crate::error::{Error, Fault, Result};
use crate::format::segment::Header;
use crate::storage::lock::Access;
use crate::storage::{Dir, Mode};
use crate::tools::plan::{self, Begin, Kept, RepairPlan, Work};
use crate::tools::survey::{Depth, Observer, Survey, take};
use crate::writer::mend;

/// What a repair has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// The folder that holds what was taken out of the log, and a note (`REPAIR.txt`) of what was done.
    /// `None` if nothing had to be done.
    pub folder: Option<PathBuf>,
    /// The log as it is now: sound.
    pub survey: Survey,
}

impl RepairPlan {
    /// Does what the plan says, and checks that the log is sound afterwards.
    ///
    /// Takes the directory for appending, so that nobody reads or writes it meanwhile, and looks first
    /// whether the log is still what the plan was made for.
    ///
    /// It is crash safe: whenever it ends, nothing that could be read before is lost, and it can be
    /// planned and done again. A folder that an interrupted repair has begun stays.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if somebody has the log open. [`Error::Io`] if an operation failed (a full
    /// disk, say), or if the log has changed since the plan was made; plan again then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is as a crash: see above.
    pub async fn execute(self, observer: &mut dyn Observer) -> Result<Repaired> {
        let _lock = self.dir.lock(Access::Append).await?;
        let again = plan::make(&self.dir, &mut ())?;
        if again.work != self.work {
            return Err(failed(
                &self.dir,
                "the log has changed since the repair was planned",
            ));
        }
        let folder = match self.is_empty() {
            true => None,
            false => Some(do_all(&self.dir, &again).await?),
        };
        let survey = take(&self.dir, Depth::Everything, false, observer)?;
        if !survey.is_sound() {
            return Err(failed(&self.dir, "damage was found again after the repair"));
        }
        Ok(Repaired { folder, survey })
    }
}

async fn do_all(dir: &Dir, plan: &RepairPlan) -> Result<PathBuf> {
    let name = free_folder(dir)?;
    let folder = dir.folder(&name);
    keep(dir, &name, &folder, plan).await?;
    change(dir, &plan.work).await?;
    Ok(folder.path().to_owned())
}

/// A folder that does not exist, or that an interrupted repair has left empty.
fn free_folder(dir: &Dir) -> Result<String> {
    for number in 1..=FOLDERS_MAX {
        let name = format!("{FOLDER_PREFIX}{number}");
        match dir.folder(&name).list() {
            Ok(files) if files.is_empty() => return Ok(name),
            Err(fault) if fault.io_error().kind() == io::ErrorKind::NotFound => return Ok(name),
            // It is in use, or it is no folder.
            Ok(_) | Err(_) => {}
        }
    }
    Err(failed(
        dir,
        "there are too many folders of earlier repairs in it",
    ))
}

/// Makes everything that goes durable under another name.
async fn keep(dir: &Dir, name: &str, folder: &Dir, plan: &RepairPlan) -> Result<(), Fault> {
    folder.make()?;
    write_note(folder, plan).await?;
    for (file, how) in &plan.work.keep {
        let second = format!("{file}{KEPT_SUFFIX}");
        let is_linked = *how == Kept::Whole && dir.link(file, name, &second).is_ok();
        if !is_linked {
            copy(dir, file, folder, &second).await?;
        }
    }
    folder.sync().map(drop)
}

async fn write_note(folder: &Dir, plan: &RepairPlan) -> Result<(), Fault> {
    let damages = plan.survey.damages.iter().map(ToString::to_string);
    let damages = damages.collect::<Vec<_>>().join("\n");
    let text = format!("{NOTE}{damages}\n\nWhat was to be done:\n\n{plan}");
    let file = folder.open(NOTE_NAME, Mode::Create)?;
    file.write_at(text.as_bytes(), 0)?.0.sync().await.map(drop)
}

async fn copy(dir: &Dir, name: &str, folder: &Dir, second: &str) -> Result<(), Fault> {
    let from = dir.open(name, Mode::Read)?;
    let mut to = folder.open(second, Mode::Create)?;
    let mut buffer = vec![0; PIECE_LEN];
    let mut offset = 0;
    loop {
        let filled = from.read_at(&mut buffer, offset)?;
        if filled == 0 {
            return to.sync().await.map(drop);
        }
        to = to.write_at(&buffer[..filled], offset)?.0;
        offset += filled as u64;
    }
}

/// Changes the log, of which everything that goes has been kept.
///
/// A new beginning comes before what it replaces goes: a directory without segments would be a new log,
/// which begins at LSN 1. Segments behind the end go newest first, and the end is sealed when all of them
/// have gone: until then one of them, or the link to them, keeps the log from being opened.
async fn change(dir: &Dir, work: &Work) -> Result<(), Fault> {
    if let Some(begin) = work.begin {
        mend::begin(dir, &header(dir, begin)).await?;
    }
    if let Some(header) = &work.mark_head {
        mend::mark_as_head(dir, header).await?;
    }
    for (name, len) in &work.extend {
        mend::extend(dir, name, *len).await?;
    }
    mend::remove(dir, &work.remove)?;
    if let Some(seal) = &work.seal {
        mend::end(dir, &seal.segment, seal.last).await?;
    }
    Ok(())
}

/// The header of a log's new first segment, which holds no record, and never will.
fn header(dir: &Dir, begin: Begin) -> Header {
    Header {
        log_id: begin.log_id.unwrap_or_else(|| dir.new_salt()),
        base: begin.base,
        salt: dir.new_salt(),
        capacity: crate::format::DATA_OFFSET,
        predecessor: None,
    }
}

fn failed(dir: &Dir, why: &'static str) -> Error {
    Fault::new("repair", dir.path(), io::Error::other(why)).into()
}

const NOTE: &str = "\
A log in the directory above this one was damaged, and was repaired. The files here are
what was taken out of it, or changed, as it was before: the name of the file, and
`.kept`. The log itself does not look at them. To put everything back as it was, stop the
service, and move each file back to the name without `.kept`.

What was damaged:

";
const NOTE_NAME: &str = "REPAIR.txt";
const FOLDER_PREFIX: &str = "repair-";
const KEPT_SUFFIX: &str = ".kept";
const FOLDERS_MAX: u32 = 10_000;
const PIECE_LEN: usize = 1024 * 1024;
