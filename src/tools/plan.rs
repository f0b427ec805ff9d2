//! How a damaged log can be made one that opens, and what that costs.
//!
//! What stays is one stretch of records without a gap: the first that can be read, from the beginning
//! of a segment on up to the next damage. So whatever recovery delivers before its error stays; and
//! where nothing can be read before the damage, what stands behind it does. Files that cannot be shown
//! to be of the log go first, and the rest is judged as it is without them. Files of another log are
//! nothing that a repair decides about.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::error::{CorruptionKind, Error, IoFailure, Result};
use crate::format;
use crate::format::frame;
use crate::format::names;
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::recovered::LastSegment;
use crate::recovery::walk::{Walk, Walked};
use crate::storage::Dir;
use crate::tools::open_dir::OpenDir;
use crate::tools::survey::{Depth, Observer, Survey, walk};

/// What a repair would do, and what it would cost. Nothing has been done yet.
///
/// `Display` says it in full sentences.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RepairPlan {
    /// What was found.
    pub survey: Survey,
    /// What is to be done, in this order; nothing if nothing is damaged.
    pub steps: Vec<RepairStep>,
    /// The records that the log holds afterwards; `None` if none.
    pub kept: Option<RangeInclusive<Lsn>>,
    /// Records that can be read and will be in the folder only, because others before them cannot.
    pub cut_records: u64,
    /// The LSN that the next append gets.
    pub next: Lsn,
    /// LSNs that were given to records before and will be given again: what refers to a record of the
    /// log by its LSN must forget these.
    pub reused: Option<RangeInclusive<Lsn>>,
    /// Whether LSNs beyond those may be given again, because nothing says how far the log went.
    pub may_reuse_more: bool,
    /// The folder that it will make, if there is anything to be done: the next one that is free.
    pub folder: PathBuf,
    pub(super) dir: OpenDir,
    pub(super) work: Work,
}

/// One thing that a repair does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RepairStep {
    /// A file gets a second name in a new folder of the log's directory, or is copied there.
    Keep {
        /// The file.
        file: PathBuf,
        /// What it is called there.
        copy: PathBuf,
    },
    /// A new segment without records becomes the log, so that it goes on behind every LSN that may have
    /// been given out.
    Begin {
        /// The LSN of its first record.
        lsn: Lsn,
    },
    /// A segment is marked as the one that the log begins with.
    MarkHead {
        /// Its file.
        file: PathBuf,
    },
    /// A file that is too short is made as long as its header says.
    Extend {
        /// The file.
        file: PathBuf,
        /// Its new length in bytes.
        len: u64,
    },
    /// A file's name in the log's directory is removed. It has been kept.
    Remove {
        /// The file.
        file: PathBuf,
    },
    /// What stays of a segment is made durable, and its end written into its header block.
    Seal {
        /// Its file, which has been kept as it was.
        file: PathBuf,
        /// The last record of the log.
        lsn: Lsn,
        /// Where it ends, in bytes from the start of the file.
        offset: u64,
    },
}

/// The same, with what is needed to do it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Work {
    /// Files to be kept, and whether the log's own goes on to be used.
    pub(super) keep: Vec<(String, Kept)>,
    pub(super) begin: Option<Begin>,
    pub(super) mark_head: Option<Header>,
    pub(super) extend: Vec<(String, u64)>,
    /// Newest first.
    pub(super) remove: Vec<String>,
    pub(super) seal: Option<Seal>,
}

/// How a file is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    /// As it is: the log does not use it any more.
    Whole,
    /// A copy, because it will be changed.
    Copy,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Begin {
    pub(super) base: Lsn,
    /// The log id, if it is known.
    pub(super) log_id: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    pub(super) last: Lsn,
    pub(super) segment: LastSegment,
}

impl PartialEq for Seal {
    fn eq(&self, other: &Self) -> bool {
        (self.last, self.segment.end, self.segment.header)
            == (other.last, other.segment.end, other.segment.header)
    }
}

impl Eq for Seal {}

impl RepairPlan {
    /// Whether there is nothing to repair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Surveys the log and decides. The directory must be held for reading at least.
pub(super) fn make(open: &OpenDir, observer: Option<&mut dyn Observer>) -> Result<RepairPlan> {
    let dir = &open.dir;
    let found = walk(dir, Depth::Everything, observer)?;
    if let Some(error) = found.read_errors.first() {
        return Err(error.clone());
    }
    let survey = |found| Survey::of(dir, Depth::Everything, false, found);
    if found.damages.is_empty() {
        let next = found.files.last().and_then(|file| file.run);
        let next = next.map_or(Lsn::FIRST, |run| run.end.next());
        return RepairPlan::of(open, survey(found), Decision::nothing(next));
    }
    let own = own_log_id(dir, &found)?;
    let log = &found.files[found.head..];
    let strays = log.iter().filter(|file| file.found.is_none());
    let strays: Vec<Lsn> = strays.map(|file| file.base).collect();
    let without = match strays.is_empty() {
        true => None,
        false => Some(Walk::read_without(dir, &strays)?),
    };
    let rest = without.as_ref().unwrap_or(&found);
    if let Some(error) = rest.read_errors.first() {
        return Err(error.clone());
    }
    let decision = Decider {
        found: &found,
        rest,
        strays,
        own,
    }
    .decide();
    RepairPlan::of(open, survey(found), decision)
}

/// What comes out.
struct Decision {
    work: Work,
    kept: Option<RangeInclusive<Lsn>>,
    cut_records: u64,
    next: Lsn,
    highest: Lsn,
    may_reuse_more: bool,
}

impl Decision {
    fn nothing(next: Lsn) -> Self {
        Self {
            work: Work::default(),
            kept: None,
            cut_records: 0,
            next,
            highest: Lsn::ZERO,
            may_reuse_more: false,
        }
    }
}

/// The log that the files are of, if any header says so.
///
/// Of two logs in one directory nothing tells which one the service's is: the other one may be the older
/// one with more files, or a new one with a single file. Only the operator who put them there knows.
fn own_log_id(dir: &Dir, walk: &Walk) -> Result<Option<u64>> {
    let log_id = |file: &Walked| file.found.as_ref().map(|found| found.header.log_id);
    let mut logs: Vec<u64> = Vec::new();
    for id in walk.files.iter().filter_map(log_id) {
        if !logs.contains(&id) {
            logs.push(id);
        }
    }
    if logs.len() <= 1 {
        return Ok(logs.first().copied());
    }
    let files_of = |id: &u64| {
        let files = walk.files.iter().filter(|file| log_id(file) == Some(*id));
        let names: Vec<_> = files.map(|file| names::segment(file.base)).collect();
        format!("log {id:016x} has {}", names.join(", "))
    };
    let all: Vec<_> = logs.iter().map(files_of).collect();
    let why = format!(
        "files of {} logs are in it, and nothing tells which of them is the one to repair: {}; move the \
         files of the others to a directory of their own, and plan again",
        logs.len(),
        all.join("; ")
    );
    Err(failed(dir, why))
}

pub(super) fn failed(dir: &Dir, why: impl Into<String>) -> Error {
    IoFailure::new("repair", dir.path(), io::Error::other(why.into())).into()
}

struct Decider<'a> {
    found: &'a Walk,
    /// The log without its strays: files of which no header says what they are.
    rest: &'a Walk,
    strays: Vec<Lsn>,
    own: Option<u64>,
}

impl Decider<'_> {
    fn decide(&self) -> Decision {
        let log = &self.rest.files[self.rest.head..];
        let Some(first) = log.iter().position(has_something) else {
            return self.begin_anew();
        };
        let mut last = first;
        while last + 1 < log.len() && is_whole(&log[last]) && log[last].is_joined {
            last += 1;
        }
        self.keep_stretch(&log[first..=last])
    }

    /// Nothing can stay in place. The log goes on behind whatever it may have held.
    fn begin_anew(&self) -> Decision {
        let base = self.free_base(self.possible().next());
        let mut removed = self.strays.clone();
        removed.extend(
            self.rest.files[self.rest.head..]
                .iter()
                .map(|file| file.base),
        );
        let has_lost_files = |walk: &Walk| {
            let mut kinds = walk.damages.iter().map(|damage| damage.kind);
            kinds.any(|kind| kind == CorruptionKind::SuccessorMissing)
        };
        let begin = Begin {
            base,
            log_id: self.own,
        };
        let mut work = Self::remove(removed);
        work.begin = Some(begin);
        Decision {
            work,
            kept: None,
            cut_records: self.readable(),
            next: base,
            highest: base.prev(),
            may_reuse_more: has_lost_files(self.found) || has_lost_files(self.rest),
        }
    }

    fn keep_stretch(&self, stay: &[Walked]) -> Decision {
        let (first, last) = (&stay[0], &stay[stay.len() - 1]);
        let log = &self.rest.files[self.rest.head..];
        let goes = |file: &&Walked| file.base < first.base || file.base > last.base;
        let mut removed = self.strays.clone();
        removed.extend(log.iter().filter(goes).map(|file| file.base));
        let is_cut = removed.iter().any(|base| *base > last.base);
        let mut work = Self::remove(removed);
        let head = first.found.as_ref().filter(|found| !found.is_head);
        work.mark_head = head.map(|found| found.header);
        work.extend = stay
            .iter()
            .filter(|file| is_short(file))
            .filter_map(extend)
            .collect();
        if is_cut || is_short(last) || !is_whole(last) || !self.was_whole(last.base) {
            work.seal = seal(last);
        }
        let marked = work.mark_head.map(|header| header.base);
        let sealed = work.seal.map(|seal| seal.segment.header.base);
        let changed = marked
            .into_iter()
            .chain(sealed.filter(|_| sealed != marked));
        let copies = changed.map(|base| (names::segment(base), Kept::Copy));
        work.keep.extend(copies);
        let end = last.run.map_or(last.base.prev(), |run| run.end);
        let records = end.since(first.base.prev());
        Decision {
            kept: (end >= first.base).then_some(first.base..=end),
            cut_records: self.readable().saturating_sub(records),
            next: end.next(),
            highest: self.highest(),
            may_reuse_more: work.seal.is_some()
                && (self.is_end_unknown(end) || self.open_ends().next().is_some()),
            work,
        }
    }

    /// Takes files out of the log.
    fn remove(mut bases: Vec<Lsn>) -> Work {
        bases.sort_unstable();
        bases.dedup();
        let names: Vec<_> = bases.into_iter().rev().map(names::segment).collect();
        Work {
            keep: names
                .iter()
                .map(|name| (name.clone(), Kept::Whole))
                .collect(),
            remove: names,
            ..Work::default()
        }
    }

    /// Whether all of its records were found while the strays were there, whose names say something too.
    fn was_whole(&self, base: Lsn) -> bool {
        let mut files = self.found.files.iter();
        files
            .find(|file| file.base == base)
            .is_none_or(is_whole_or_unread)
    }

    fn readable(&self) -> u64 {
        let of = |walk: &Walk| {
            let runs = walk.files.iter().filter_map(|file| file.run);
            runs.map(|run| run.records).sum::<u64>()
        };
        of(self.found).max(of(self.rest))
    }

    /// The last LSN that the log's own files name.
    fn highest(&self) -> Lsn {
        let walks = [self.found, self.rest]
            .into_iter()
            .flat_map(|walk| &walk.files);
        let of_file = |file: &Walked| {
            let begun = file.base.prev();
            file.run.map_or(begun, |run| run.highest.max(begun))
        };
        let own = walks.filter(|file| is_sensible(file.base));
        let damages = self.found.damages.iter().chain(&self.rest.damages);
        let lost = damages
            .map(|damage| damage.last)
            .filter(|last| is_sensible(*last));
        own.map(of_file).chain(lost).max().unwrap_or_default()
    }

    /// The last LSN that may have been given out: of a file whose end nothing tells, all that it has
    /// room for.
    fn possible(&self) -> Lsn {
        let full = self.open_ends().map(|file| {
            let room = room(file).saturating_sub(format::DATA_OFFSET);
            file.base.prev().plus(room / frame::HEADER_LEN as u64)
        });
        full.max().unwrap_or_default().max(self.highest())
    }

    /// The files that may have held more records than anything on disk names. A mark is no end: it says
    /// what was durable when the log was idle, and whatever came after it may have been acknowledged too.
    fn open_ends(&self) -> impl Iterator<Item = &Walked> {
        let newest = self.found.files.iter().filter(|file| file.found.is_some());
        let newest = newest.map(|file| file.base).max().unwrap_or_default();
        let files = self.found.files[self.found.head..].iter();
        files.filter(move |file| match &file.found {
            _ if !is_sensible(file.base) => false,
            None => file.base > newest,
            Some(found) => {
                !self.is_joined(file.base) && !found.statement.is_some_and(|end| end.is_end())
            }
        })
    }

    /// Whether the beginning of another file says where this one ends.
    fn is_joined(&self, base: Lsn) -> bool {
        let mut files = self.found.files.iter().chain(&self.rest.files);
        files.any(|file| file.base == base && file.is_joined)
    }

    /// The first LSN from `base` on that no file's name says.
    fn free_base(&self, base: Lsn) -> Lsn {
        let is_taken = |base: Lsn| self.found.files.iter().any(|file| file.base == base);
        let mut free = base;
        while is_taken(free) {
            free = free.next();
        }
        free
    }

    /// Whether the log went on beyond `end` by a number of records that nothing tells.
    fn is_end_unknown(&self, end: Lsn) -> bool {
        let damages = self.found.damages.iter().chain(&self.rest.damages);
        let mut beyond = damages.filter(|damage| damage.first > end);
        beyond.any(|damage| damage.last < damage.first)
    }
}

fn has_something(file: &Walked) -> bool {
    is_whole(file) || file.run.is_some_and(|run| run.end >= file.base)
}

fn is_whole(file: &Walked) -> bool {
    file.run.is_some_and(|run| run.is_whole)
}

fn is_whole_or_unread(file: &Walked) -> bool {
    file.run.is_none_or(|run| run.is_whole)
}

fn is_short(file: &Walked) -> bool {
    file.found.as_ref().is_some_and(|found| found.is_short)
}

/// The length that a file may have had in bytes. A file that is shorter than any segment was shortened.
fn room(file: &Walked) -> u64 {
    let said = file.found.as_ref().map(|found| found.header.capacity);
    let room = said.unwrap_or(file.len).max(file.len);
    match room < SEGMENT_LEN_MIN {
        true => format::SEGMENT_SIZE_LIMIT,
        false => room.min(format::SEGMENT_SIZE_LIMIT),
    }
}

/// No log has come so far; a name that says so was not made by the log.
fn is_sensible(lsn: Lsn) -> bool {
    lsn.get() < 1 << 62
}

fn extend(file: &Walked) -> Option<(String, u64)> {
    let found = file.found.as_ref()?;
    Some((names::segment(file.base), found.header.capacity))
}

fn seal(file: &Walked) -> Option<Seal> {
    let (found, run) = (file.found.as_ref()?, file.run?);
    Some(Seal {
        last: run.end,
        segment: LastSegment {
            header: found.header,
            end: run.end_offset,
            unproven_from: run.unproven_from,
            sealed: false,
        },
    })
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

impl Work {
    fn steps(&self, dir: &Dir, folder: &Path) -> Vec<RepairStep> {
        let path = |name: &String| dir.path_of(name);
        let kept = self.keep.iter().map(|(name, _)| RepairStep::Keep {
            file: path(name),
            copy: folder.join(kept_name(name)),
        });
        let begin = self
            .begin
            .map(|begin| RepairStep::Begin { lsn: begin.base });
        let head = self.mark_head.map(|header| RepairStep::MarkHead {
            file: path(&names::segment(header.base)),
        });
        let longer = self.extend.iter().map(|(name, len)| RepairStep::Extend {
            file: path(name),
            len: *len,
        });
        let removed = self
            .remove
            .iter()
            .map(|name| RepairStep::Remove { file: path(name) });
        let seal = self.seal.map(|seal| RepairStep::Seal {
            file: path(&names::segment(seal.segment.header.base)),
            lsn: seal.last,
            offset: seal.segment.end,
        });
        kept.chain(longer)
            .chain(begin)
            .chain(head)
            .chain(removed)
            .chain(seal)
            .collect()
    }
}

/// What a file is called in the folder.
pub(super) fn kept_name(name: &str) -> String {
    format!("{name}{KEPT_SUFFIX}")
}

/// A folder that does not exist, or that an interrupted repair has left empty.
fn free_folder(dir: &Dir) -> Result<String> {
    let mut names = (1..=FOLDERS_MAX).map(|number| format!("{FOLDER_PREFIX}{number}"));
    let free = names.find(|name| dir.has_room_for(name));
    free.ok_or_else(|| failed(dir, "there are too many folders of earlier repairs in it"))
}

/// No log has shorter segments, but for the empty one that a repair may begin with.
const SEGMENT_LEN_MIN: u64 = 16 * 1024;
const FOLDER_PREFIX: &str = "repair-";
const KEPT_SUFFIX: &str = ".kept";
const FOLDERS_MAX: u32 = 10_000;
