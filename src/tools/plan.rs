//! The plan of a repair: how a damaged log can be made to open, and what is lost.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::error::{Error, IoFailure, Result};
use crate::format::names;
use crate::lsn::Lsn;
use crate::recovery::salvage::{Extent, NoVisitor, Salvage, Salvaged};
use crate::storage::Dir;
use crate::tools::decision::{Damaged, Decision};
use crate::tools::open_dir::OpenDir;
use crate::tools::step::RepairStep;
use crate::tools::survey::{Depth, Observer, Survey, salvage};
use crate::tools::work::Work;

/// What a repair would do, and what would be lost. Nothing has been changed yet.
///
/// `Display` prints it in full sentences.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RepairPlan {
    /// What was found.
    pub survey: Survey,
    /// The steps, in this order. Empty if nothing is damaged.
    pub steps: Vec<RepairStep>,
    /// The records that the log holds afterwards, or `None` if it holds none.
    pub kept: Option<RangeInclusive<Lsn>>,
    /// The number of readable records that will be in the folder only, because a record before them
    /// cannot be read.
    pub cut_records: u64,
    /// The LSN that the next append gets.
    pub next: Lsn,
    /// LSNs that were given out before and will be given out again. Roll back everything that
    /// refers to them, such as a snapshot or a replica.
    pub reused: Option<RangeInclusive<Lsn>>,
    /// Whether LSNs above these may be given out again too, because nothing shows where the log
    /// ended.
    pub may_reuse_more: bool,
    /// The folder that the repair will create, if there is anything to do: the next free one.
    pub folder: PathBuf,
    pub(super) dir: OpenDir,
    pub(super) work: Work,
}

impl RepairPlan {
    /// Whether there is nothing to repair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Surveys the log and decides. The directory must be locked, at least for reading.
pub(super) fn make(open: &OpenDir, observer: Option<&mut dyn Observer>) -> Result<RepairPlan> {
    let dir = &open.dir;
    let found = salvage(dir, Depth::Everything, observer)?;
    let decision = decide(dir, &found)?;
    let survey = Survey::of(dir, Depth::Everything, false, found);
    RepairPlan::of(open, survey, decision)
}

fn decide(dir: &Dir, found: &Salvage) -> Result<Decision> {
    check_readable(found)?;
    if found.corruptions.is_empty() {
        let newest = found.segments.last().and_then(|segment| segment.records);
        let next = newest.map_or(Lsn::FIRST, |records| records.end.next());
        return Ok(Decision::nothing(next));
    }
    let log_id = own_log_id(dir, found)?;
    let strays = found.log().iter();
    let strays = strays.filter(|segment| segment.file.is_none());
    let strays: Vec<_> = strays.map(|segment| segment.base).collect();
    let without = match strays.is_empty() {
        true => None,
        false => Some(read_without(dir, &strays)?),
    };
    let damaged = Damaged {
        found,
        rest: without.as_ref().unwrap_or(found),
        strays,
        log_id,
    };
    Ok(damaged.decide())
}

/// Reads the log as if these segments did not exist.
fn read_without(dir: &Dir, strays: &[Lsn]) -> Result<Salvage> {
    let rest = Salvage::read_without(dir, strays, Extent::Everything, &mut NoVisitor)?;
    check_readable(&rest)?;
    Ok(rest)
}

/// A repair must be able to read what it keeps.
fn check_readable(salvage: &Salvage) -> Result<()> {
    salvage.read_errors.first().cloned().map_or(Ok(()), Err)
}

/// The id of the log that the files belong to, if any header names it.
///
/// If the directory holds files of two logs, nothing shows which one is the service's: the other
/// one may be an older log with more files, or a new one with a single file.
fn own_log_id(dir: &Dir, salvage: &Salvage) -> Result<Option<u64>> {
    let log_id = |segment: &Salvaged| segment.meta().map(|meta| meta.header.log_id);
    let mut logs: Vec<u64> = Vec::new();
    for id in salvage.segments.iter().filter_map(log_id) {
        if !logs.contains(&id) {
            logs.push(id);
        }
    }
    if logs.len() <= 1 {
        return Ok(logs.first().copied());
    }
    let files_of = |id: &u64| {
        let segments = salvage.segments.iter();
        let segments = segments.filter(|segment| log_id(segment) == Some(*id));
        let names: Vec<_> = segments
            .map(|segment| names::segment(segment.base))
            .collect();
        format!("log {id:016x} has {}", names.join(", "))
    };
    let all: Vec<_> = logs.iter().map(files_of).collect();
    let why = format!(
        "files of {} logs are in it, and nothing tells which of them is the one to repair: {}. Move the \
         files of the others to a directory of their own, and plan again",
        logs.len(),
        all.join(", and ")
    );
    Err(failed(dir, why))
}

pub(super) fn failed(dir: &Dir, why: impl Into<String>) -> Error {
    IoFailure::new("repair", dir.path(), io::Error::other(why.into())).into()
}

impl RepairPlan {
    fn of(open: &OpenDir, survey: Survey, decision: Decision) -> Result<Self> {
        let Decision {
            work,
            kept,
            cut_records,
            next,
            highest,
            may_reuse_more,
        } = decision;
        let dir = &open.dir;
        let folder = dir.path_of(&free_folder(dir)?);
        Ok(Self {
            survey,
            steps: work.steps(dir, &folder),
            kept,
            cut_records,
            next,
            reused: (next <= highest).then_some(next..=highest),
            may_reuse_more,
            folder,
            dir: open.clone(),
            work,
        })
    }
}

/// The name of a folder that does not exist, or that an interrupted repair left empty.
fn free_folder(dir: &Dir) -> Result<String> {
    let mut names = (1..=FOLDERS_MAX).map(|number| format!("{FOLDER_PREFIX}{number}"));
    let free = names.find(|name| dir.has_room_for(name));
    free.ok_or_else(|| failed(dir, "it holds too many folders of earlier repairs"))
}

const FOLDER_PREFIX: &str = "repair-";
const FOLDERS_MAX: u32 = 10_000;
