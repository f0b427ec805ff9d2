//! Determines which records an unreadable file held, from its neighbors.

use std::collections::BTreeMap;

use crate::error::{Corruption, CorruptionKind};
use crate::format::names;
use crate::format::statement::Statement;
use crate::lsn::Lsn;
use crate::recovery::salvage::{Salvage, Salvaged};
use crate::storage::Dir;

impl Salvage {
    /// Corrects the LSNs of corruptions that were noted before the neighbors of their files were
    /// read.
    pub(super) fn narrow_down(&mut self, dir: &Dir) {
        let path = |segment: &Salvaged| dir.path_of(&names::segment(segment.base));
        let paths = self.segments.iter().map(path).zip(0..);
        let indexes: BTreeMap<_, usize> = paths.collect();
        let mut corruptions = std::mem::take(&mut self.corruptions);
        for corruption in &mut corruptions {
            if let Some(&index) = indexes.get(&corruption.segment) {
                self.narrow(corruption, index);
            }
        }
        self.corruptions = corruptions;
    }

    fn narrow(&self, corruption: &mut Corruption, index: usize) {
        match corruption.kind {
            CorruptionKind::ChainBroken | CorruptionKind::ForeignSegment if index > self.head => {
                self.narrow_first(corruption, index);
            }
            // The unreadable page is after the header block, so a record was expected there.
            CorruptionKind::Unreadable if corruption.offset > 0 => {}
            CorruptionKind::HeaderDamaged
            | CorruptionKind::NameMismatch
            | CorruptionKind::Unreadable
                if index >= self.head =>
            {
                self.narrow_last(corruption, index);
            }
            CorruptionKind::ShortFile => self.narrow_short(corruption, index),
            _ => {}
        }
    }

    /// The missing records before a file begin after the last record of the file before it. If that one was not
    /// read, they begin after the last record that its link or seal names.
    fn narrow_first(&self, corruption: &mut Corruption, index: usize) {
        let before = &self.segments[index - 1];
        let stated = before.meta().and_then(|meta| meta.statement);
        let stated = stated.filter(Statement::is_end).map(|stated| stated.lsn);
        let end = before.records.map(|records| records.end).or(stated);
        let first = end.map(Lsn::next);
        let first = first.filter(|first| *first <= corruption.last.next());
        corruption.first = first.unwrap_or(corruption.first);
    }

    /// An unreadable file ends before the next one begins. If the file before it holds the same
    /// records, it never belonged to the log.
    fn narrow_last(&self, corruption: &mut Corruption, index: usize) {
        let base = self.segments[index].base;
        let before = index
            .checked_sub(1)
            .and_then(|index| self.segments[index].records);
        let is_covered = before.is_some_and(|records| records.end >= base);
        let next = self.segments.get(index + 1);
        let next = next.filter(|next| next.file.is_some() && !is_covered);
        corruption.last = next.map_or(corruption.last, |next| next.base.prev());
    }

    /// In a file that is too short, the missing records begin after the readable ones.
    fn narrow_short(&self, corruption: &mut Corruption, index: usize) {
        if let Some(records) = self.segments[index].records {
            (corruption.first, corruption.offset) = (records.end.next(), 0);
        }
    }
}
