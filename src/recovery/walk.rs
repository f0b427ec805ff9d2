//! Reading a log that may be damaged, for the tools: the same judgements as those of a replay, and no
//! stop at the first damage.
//!
//! Headers, joints, records and the end of the newest segment are judged by the functions that
//! [`replay`](super::replay) uses; what is added here is how to go on after them. So a walk finds
//! nothing in a log that a recovery reads, and finds what a recovery refuses, and more.

use std::collections::BTreeMap;

use crate::error::{Corruption, CorruptionKind, Error, IoFailure, Result};
use crate::format::names;
use crate::format::segment::Header;
use crate::format::statement::{Statement, StatementKind};
use crate::lsn::Lsn;
use crate::record::Record;
use crate::recovery::chunk::Chunk;
pub(crate) use crate::recovery::chunk::Keep;
use crate::recovery::plan::{Found, Planned, check_joint};
use crate::recovery::replay::check_complete;
use crate::recovery::report::TornTail;
use crate::recovery::scan::{Scan, Stop};
use crate::recovery::tail::{self, Rest, Verdict};
use crate::storage::{Dir, Mode};

/// Who follows a walk.
pub(crate) trait Follow {
    /// So many bytes more were looked at.
    fn bytes(&mut self, count: u64);
    /// Which records it wants to see. No other payload is kept in memory.
    fn keep(&self) -> Keep;
    /// Records that can be read; after damage they need not follow the last ones.
    fn records(&mut self, records: Vec<Record>);
}

struct Nobody;

impl Follow for Nobody {
    fn bytes(&mut self, _: u64) {}

    fn keep(&self) -> Keep {
        Keep::Nothing
    }

    fn records(&mut self, _: Vec<Record>) {}
}

/// How much is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// The headers.
    Headers,
    /// The headers, and the records of the newest segment.
    Newest,
    /// Every record.
    Everything,
}

/// What lies in a directory.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Every file with a segment's name, oldest first.
    pub(crate) files: Vec<Walked>,
    /// Below this index the log was truncated.
    pub(crate) head: usize,
    pub(crate) damages: Vec<Corruption>,
    /// Further damages, which no reader would look at.
    pub(crate) damages_left_out: u64,
    /// What the system would not read, and formats that are not known.
    pub(crate) read_errors: Vec<Error>,
    /// Where and why the log ends, if it was not closed.
    pub(crate) cut: Option<TornTail>,
    /// Whether the newest segment says that the log was closed.
    pub(crate) is_closed: bool,
    pub(crate) spares: Vec<String>,
    pub(crate) unknown_files: Vec<String>,
}

/// One file with a segment's name.
#[derive(Debug)]
pub(crate) struct Walked {
    /// By its name.
    pub(crate) base: Lsn,
    /// Its length in bytes, 0 if that cannot be learned.
    pub(crate) len: u64,
    /// What its header says, if that is sound.
    pub(crate) found: Option<FoundFile>,
    /// Whether the next file names it as its predecessor.
    pub(crate) is_joined: bool,
    /// What was read of its records.
    pub(crate) run: Option<Run>,
}

/// What a sound header says.
#[derive(Clone, Debug)]
pub(crate) struct FoundFile {
    pub(crate) header: Header,
    pub(crate) statement: Option<Statement>,
    pub(crate) is_head: bool,
    pub(crate) is_short: bool,
}

/// The records of one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Those that can be read.
    pub(crate) records: u64,
    /// Their payloads.
    pub(crate) bytes: u64,
    /// The last of those that follow each other from the first one on.
    pub(crate) end: Lsn,
    /// Where it ends in the file.
    pub(crate) end_offset: u64,
    /// From here to there nothing proves what was read to be durable.
    pub(crate) unproven_from: u64,
    /// The last LSN that is known to have been durable.
    pub(crate) proven: Lsn,
    /// The last LSN that anything names.
    pub(crate) highest: Lsn,
    /// Whether all records are there that should be.
    pub(crate) is_whole: bool,
}

impl Walk {
    /// Reads a directory. Fails only if that cannot be listed.
    pub(crate) fn read(dir: &Dir, extent: Extent, follow: &mut dyn Follow) -> Result<Self> {
        Self::read_some(dir, &[], extent, follow)
    }

    /// Reads all of it, as if the segments that begin with these were not there.
    pub(crate) fn read_without(dir: &Dir, without: &[Lsn]) -> Result<Self> {
        Self::read_some(dir, without, Extent::Everything, &mut Nobody)
    }

    fn read_some(
        dir: &Dir,
        without: &[Lsn],
        extent: Extent,
        follow: &mut dyn Follow,
    ) -> Result<Self> {
        let mut walk = Self::default();
        walk.sort_names(dir)?;
        walk.files.retain(|file| !without.contains(&file.base));
        let problems = walk.read_headers(dir);
        walk.find_head();
        walk.note_problems(dir, problems);
        walk.check_joints(dir);
        if extent != Extent::Headers {
            walk.read_records(dir, extent, follow);
        }
        Ok(walk)
    }

    /// The bytes that reading all of it takes.
    pub(crate) fn total_len(dir: &Dir, extent: Extent) -> u64 {
        let mut bases: Vec<_> = dir.list().map_or_else(
            |_| Vec::new(),
            |names| {
                names
                    .iter()
                    .filter_map(|name| names::parse_segment(name))
                    .collect()
            },
        );
        bases.sort_unstable();
        let skipped = match extent {
            Extent::Headers => bases.len(),
            Extent::Newest => bases.len().saturating_sub(1),
            Extent::Everything => 0,
        };
        let lens = bases.iter().skip(skipped).map(|&base| len_of(dir, base));
        lens.sum()
    }

    fn sort_names(&mut self, dir: &Dir) -> Result<()> {
        let mut bases = Vec::new();
        for name in dir.list()? {
            match names::parse_segment(&name) {
                Some(base) => bases.push(base),
                None if names::is_spare(&name) => self.spares.push(name),
                None if name == names::LOCK => {}
                None => self.unknown_files.push(name),
            }
        }
        bases.sort_unstable();
        self.spares.sort_unstable();
        self.unknown_files.sort_unstable();
        self.files = bases.into_iter().map(Walked::new).collect();
        Ok(())
    }

    /// Returns what is wrong with the header of each file of which something is, by its index.
    fn read_headers(&mut self, dir: &Dir) -> Vec<(usize, Error)> {
        let mut problems = Vec::new();
        for (index, file) in self.files.iter_mut().enumerate() {
            file.len = len_of(dir, file.base);
            let checked = Found::read(dir, file.base).and_then(|found| {
                file.found = Some(FoundFile::of(&found));
                found.check_len(dir)
            });
            problems.extend(checked.err().map(|error| (index, error)));
        }
        problems
    }

    /// The newest segment that needs no predecessor; files below it were truncated.
    fn find_head(&mut self) {
        self.head = self.files.iter().rposition(is_head).unwrap_or(0);
    }

    /// What the log does not need cannot be wrong, unless it is another log's.
    fn note_problems(&mut self, dir: &Dir, problems: Vec<(usize, Error)>) {
        let head = self.head;
        let matters = problems.into_iter().filter(|(index, _)| *index >= head);
        matters.for_each(|(_, error)| self.note(error));
        match self.files.first() {
            Some(_) if self.files.iter().any(is_head) => self.check_leftovers(dir),
            oldest => {
                let oldest = oldest.and_then(Walked::planned);
                let damage = |oldest: Planned| {
                    oldest.damaged(dir, CorruptionKind::PredecessorMissing, Lsn::FIRST)
                };
                oldest
                    .map(damage)
                    .into_iter()
                    .for_each(|damage| self.damage(damage));
            }
        }
    }

    fn check_leftovers(&mut self, dir: &Dir) {
        let head = self.files[self.head].found.as_ref();
        let log_id = head.map(|found| found.header.log_id);
        let below = self.files[..self.head].iter().filter_map(Walked::planned);
        let foreign: Vec<_> = below
            .filter(|planned| Some(planned.header.log_id) != log_id)
            .map(|planned| {
                planned.damaged(dir, CorruptionKind::ForeignSegment, planned.header.base)
            })
            .collect();
        foreign.into_iter().for_each(|damage| self.damage(damage));
    }

    fn check_joints(&mut self, dir: &Dir) {
        for index in self.head + 1..self.files.len() {
            let (older, newer) = (self.files[index - 1].planned(), self.files[index].planned());
            if let (Some(older), Some(newer)) = (older, newer) {
                match check_joint(dir, &older, &newer) {
                    Ok(()) => self.files[index - 1].is_joined = true,
                    Err(error) => self.note(error),
                }
            }
        }
    }

    fn read_records(&mut self, dir: &Dir, extent: Extent, follow: &mut dyn Follow) {
        let first = match extent {
            Extent::Everything => self.head,
            _ => self.files.len().saturating_sub(1),
        };
        for index in first..self.files.len() {
            let Some(planned) = self.files[index].planned() else {
                follow.bytes(self.files[index].len);
                continue;
            };
            match self.read_segment(dir, index, &planned, follow) {
                Ok(run) => self.files[index].run = Some(run),
                Err(fault) => self.read_errors.push(fault.into()),
            }
        }
        self.narrow_down(dir);
    }

    fn read_segment(
        &mut self,
        dir: &Dir,
        index: usize,
        planned: &Planned,
        follow: &mut dyn Follow,
    ) -> Result<Run, IoFailure> {
        let next = self.files.get(index + 1).and_then(Walked::planned);
        let next = next.filter(|_| self.files[index].is_joined);
        let limit = next
            .as_ref()
            .and_then(|next| next.header.predecessor)
            .map(|prev| prev.end);
        let mut reading = Reading::new(Scan::open(dir, planned, limit)?, follow);
        let stop = reading.read_on()?;
        let mut run = reading.run_so_far();
        if let Stop::UnknownKind(kind) = stop {
            self.read_errors.push(reading.scan.unsupported(kind));
            return Ok(reading.finish(run, Rest::default()));
        }
        let (damage, rest) = match next {
            Some(next) => (
                check_complete(dir, &reading.scan, &next).err(),
                Rest::default(),
            ),
            None if index + 1 == self.files.len() => self.judge_newest(dir, &reading.scan, stop)?,
            None => judge_unjoined(dir, &reading.scan, stop, self.expected_end(index))?,
        };
        run.is_whole = damage.is_none();
        let kind = damage.as_ref().map(|damage| damage.kind);
        if let Some(damage) = damage {
            let is_newest = index + 1 == self.files.len();
            let of_records = match is_newest {
                true => CorruptionKind::ProvenLost,
                false => CorruptionKind::SealedDamaged,
            };
            reading.go_on(dir, stop, of_records, damage, &mut |damage| {
                self.damage(damage);
            })?;
        }
        if index + 1 == self.files.len() && kind != Some(CorruptionKind::SuccessorMissing) {
            let missing = reading.missing_successor(dir);
            missing.into_iter().for_each(|damage| self.damage(damage));
        }
        Ok(reading.finish(run, rest))
    }

    fn judge_newest(&mut self, dir: &Dir, scan: &Scan, stop: Stop) -> Result<Judged, IoFailure> {
        let (verdict, rest) = tail::judge_with(dir, scan, stop)?;
        let damage = match verdict {
            Verdict::Sealed => {
                self.is_closed = true;
                None
            }
            Verdict::Torn(cut) => {
                self.cut = Some(cut);
                None
            }
            Verdict::Damaged(damage) => Some(damage),
        };
        Ok((damage, rest))
    }

    /// What the name of the next file says of the end of this one, if it can be the next one.
    fn expected_end(&self, index: usize) -> Lsn {
        let next = &self.files[index + 1];
        match next.found {
            // It does not join this one: another file is missing between them.
            Some(_) => Lsn::ZERO,
            None => next.base.prev(),
        }
    }

    /// Says more exactly which records a missing or unreadable file held, now that its neighbours are
    /// read.
    fn narrow_down(&mut self, dir: &Dir) {
        let places: BTreeMap<_, _> = self
            .files
            .iter()
            .enumerate()
            .map(|(index, file)| (dir.path_of(&names::segment(file.base)), index))
            .collect();
        for damage in &mut self.damages {
            let Some(&index) = places.get(&damage.segment) else {
                continue;
            };
            match damage.kind {
                CorruptionKind::ChainBroken | CorruptionKind::ForeignSegment
                    if index > self.head =>
                {
                    let before = self.files[index - 1].run.map(|run| run.end.next());
                    let before = before.filter(|first| *first <= damage.last.next());
                    damage.first = before.unwrap_or(damage.first);
                }
                // The header block begins there, and no record does.
                CorruptionKind::Unreadable if damage.offset > 0 => {}
                CorruptionKind::HeaderDamaged
                | CorruptionKind::NameMismatch
                | CorruptionKind::Unreadable
                    if index >= self.head =>
                {
                    let is_covered = index > 0
                        && self.files[index - 1]
                            .run
                            .is_some_and(|run| run.end >= self.files[index].base);
                    let after = self.files.get(index + 1);
                    // Where the one before it holds its records, it was never the log's.
                    let after = after.filter(|file| file.found.is_some() && !is_covered);
                    damage.last = after.map_or(damage.last, |file| file.base.prev());
                }
                CorruptionKind::ShortFile => {
                    if let Some(run) = self.files[index].run {
                        (damage.first, damage.offset) = (run.end.next(), 0);
                    }
                }
                _ => {}
            }
        }
    }

    /// Files it under what it is.
    fn note(&mut self, error: Error) {
        match error {
            Error::Corrupt(damage) => self.damage(*damage),
            other => self.read_errors.push(other),
        }
    }

    fn damage(&mut self, damage: Corruption) {
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(damage);
        } else {
            self.damages_left_out += 1;
        }
    }
}

impl Walked {
    fn new(base: Lsn) -> Self {
        Self {
            base,
            len: 0,
            found: None,
            is_joined: false,
            run: None,
        }
    }

    fn planned(&self) -> Option<Planned> {
        let found = self.found.as_ref()?;
        Some(Planned {
            name: names::segment(self.base),
            header: found.header,
            statement: found.statement,
        })
    }
}

impl FoundFile {
    fn of(found: &Found) -> Self {
        Self {
            header: found.planned.header,
            statement: found.planned.statement,
            is_head: found.is_head,
            is_short: found.len < found.planned.header.capacity,
        }
    }
}

type Judged = (Option<Corruption>, Rest);

/// Judges a segment whose successor is missing or unreadable. It was complete once, and how far that
/// was, its statement and its records say, and the name of the next file.
fn judge_unjoined(dir: &Dir, scan: &Scan, stop: Stop, expected: Lsn) -> Result<Judged, IoFailure> {
    let statement = scan.segment.statement;
    let is_read = |end: Statement| end.is_end() && end.lsn <= scan.end().0;
    let rest = match statement.is_some_and(is_read) {
        true => Rest::default(),
        false => tail::search_rest(scan)?,
    };
    let stated = statement.map_or(Lsn::ZERO, |statement| statement.lsn);
    let last = stated.max(rest.proven).max(expected);
    let is_lost = last > scan.end().0 || matches!(stop, Stop::Unreadable(_));
    let damage = is_lost.then(|| scan.damaged(dir, CorruptionKind::SealedDamaged, last));
    Ok((damage, rest))
}

/// A scan that goes on after damage.
struct Reading<'a> {
    scan: Scan,
    follow: &'a mut dyn Follow,
    records: u64,
    bytes: u64,
    highest: Lsn,
    /// How far `follow` was told that the file was read.
    told: u64,
}

impl<'a> Reading<'a> {
    fn new(scan: Scan, follow: &'a mut dyn Follow) -> Self {
        Self {
            scan,
            follow,
            records: 0,
            bytes: 0,
            highest: Lsn::ZERO,
            told: 0,
        }
    }

    /// Reads until something does not continue the log.
    fn read_on(&mut self) -> Result<Stop, IoFailure> {
        loop {
            let mut chunk = Chunk::new(self.follow.keep());
            let stop = self.scan.read_block(&mut chunk)?;
            self.hand_over(chunk);
            if let Some(stop) = stop {
                self.highest = self.highest.max(self.scan.walker.last());
                return Ok(stop);
            }
        }
    }

    fn hand_over(&mut self, chunk: Chunk) {
        self.records += chunk.count;
        self.bytes += chunk.bytes;
        self.tell(self.scan.walker.offset());
        let records: Vec<_> = chunk.into_records().collect();
        if !records.is_empty() {
            self.follow.records(records);
        }
    }

    fn tell(&mut self, offset: u64) {
        self.follow.bytes(offset.saturating_sub(self.told));
        self.told = self.told.max(offset);
    }

    fn run_so_far(&self) -> Run {
        let (end, end_offset) = self.scan.end();
        Run {
            records: 0,
            bytes: 0,
            end,
            end_offset,
            unproven_from: self.scan.unproven_from(),
            proven: Lsn::ZERO,
            highest: Lsn::ZERO,
            is_whole: false,
        }
    }

    /// Finds what else is damaged up to the last record that `damage` names, and what is not. Damage that is
    /// no bad page is of this `kind`.
    fn go_on(
        &mut self,
        dir: &Dir,
        mut stop: Stop,
        kind: CorruptionKind,
        mut damage: Corruption,
        found: &mut dyn FnMut(Corruption),
    ) -> Result<(), IoFailure> {
        let last = damage.last;
        while damage.first <= last && self.scan.resume(stop, last)? {
            let before = self.scan.walker.last();
            found(Corruption {
                last: before.max(damage.first),
                ..damage
            });
            stop = self.read_on()?;
            damage = self.scan.damaged(dir, kind, last);
            if damage.first > last {
                return Ok(());
            }
        }
        found(damage);
        Ok(())
    }

    /// A newest segment that has lost records of its own may have lost its successor too.
    fn missing_successor(&self, dir: &Dir) -> Option<Corruption> {
        let link = self.scan.segment.statement?;
        (link.kind == StatementKind::Link).then(|| Corruption {
            first: link.lsn.next(),
            ..self
                .scan
                .damaged(dir, CorruptionKind::SuccessorMissing, Lsn::ZERO)
        })
    }

    fn finish(mut self, run: Run, rest: Rest) -> Run {
        let stated = self
            .scan
            .segment
            .statement
            .map_or(Lsn::ZERO, |statement| statement.lsn);
        self.tell(self.scan.capacity());
        Run {
            records: self.records,
            bytes: self.bytes,
            proven: self.scan.walker.proven().max(stated).max(rest.proven),
            highest: self.highest.max(stated).max(rest.highest),
            ..run
        }
    }
}

fn is_head(file: &Walked) -> bool {
    file.found.as_ref().is_some_and(|found| found.is_head)
}

/// The length of a segment's file, 0 if it cannot be learned.
fn len_of(dir: &Dir, base: Lsn) -> u64 {
    let file = dir.open(&names::segment(base), Mode::Read);
    file.and_then(|file| file.len()).unwrap_or(0)
}

/// Damages that are kept one by one; a list that is longer says no more.
const DAMAGES_MAX: usize = 10_000;
