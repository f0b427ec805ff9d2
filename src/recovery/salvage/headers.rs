//! The files of a directory, their headers, and how they link.

use crate::error::{CorruptionKind, Error, Result};
use crate::format::names;
use crate::lsn::Lsn;
use crate::recovery::chain::{SegmentFile, SegmentMeta, check_link};
use crate::recovery::salvage::{Salvage, Salvaged, len_of};
use crate::storage::Dir;

impl Salvage {
    /// Sorts the names in a directory by the kind of file.
    pub(super) fn list(dir: &Dir) -> Result<Self> {
        let mut salvage = Self::default();
        let mut bases = Vec::new();
        for name in dir.list()? {
            match names::parse_segment(&name) {
                Some(base) => bases.push(base),
                None if names::is_spare(&name) => salvage.spares.push(name),
                None if name == names::LOCK => {}
                None => salvage.unknown_files.push(name),
            }
        }
        bases.sort_unstable();
        salvage.spares.sort_unstable();
        salvage.unknown_files.sort_unstable();
        salvage.segments = bases.into_iter().map(Salvaged::new).collect();
        Ok(salvage)
    }

    /// Reads all headers. Returns the errors, each with the index of its file.
    pub(super) fn read_headers(&mut self, dir: &Dir) -> Vec<(usize, Error)> {
        let mut problems = Vec::new();
        for (index, segment) in self.segments.iter_mut().enumerate() {
            segment.len = len_of(dir, segment.base);
            let checked = SegmentFile::read(dir, segment.base)
                .and_then(|file| segment.file.insert(file).check_len(dir));
            problems.extend(checked.err().map(|error| (index, error)));
        }
        problems
    }

    /// The head is the newest segment that needs no predecessor. The files below it were truncated.
    pub(super) fn find_head(&mut self) {
        let head = self.segments.iter().rposition(Salvaged::is_head);
        self.head = head.unwrap_or(0);
    }

    /// Errors of a file that the log does not need do not count, unless it belongs to another log.
    pub(super) fn note_problems(&mut self, dir: &Dir, problems: Vec<(usize, Error)>) {
        let head = self.head;
        let needed = problems.into_iter().filter(|(index, _)| *index >= head);
        needed.for_each(|(_, error)| self.note(error));
        if self.segments.iter().any(Salvaged::is_head) {
            self.check_stale(dir);
        } else if let Some(oldest) = self.segments.first().and_then(Salvaged::meta) {
            let corruption = oldest.damaged(dir, CorruptionKind::PredecessorMissing, Lsn::FIRST);
            self.note_corruption(corruption);
        }
    }

    /// Checks that truncated segments belong to this log.
    fn check_stale(&mut self, dir: &Dir) {
        let log_id = |meta: &SegmentMeta| meta.header.log_id;
        let own = self.segments[self.head].meta().map(log_id);
        let stale = self.stale().iter().filter_map(Salvaged::meta);
        let foreign: Vec<_> = stale
            .filter(|meta| Some(log_id(meta)) != own)
            .map(|meta| meta.damaged(dir, CorruptionKind::ForeignSegment, meta.header.base))
            .collect();
        foreign
            .into_iter()
            .for_each(|corruption| self.note_corruption(corruption));
    }

    pub(super) fn check_links(&mut self, dir: &Dir) {
        for index in self.head + 1..self.segments.len() {
            let pair = &self.segments[index - 1..=index];
            let (Some(older), Some(newer)) = (pair[0].meta(), pair[1].meta()) else {
                continue;
            };
            match check_link(dir, older, newer) {
                Ok(()) => self.segments[index - 1].is_linked = true,
                Err(error) => self.note(error),
            }
        }
    }
}
