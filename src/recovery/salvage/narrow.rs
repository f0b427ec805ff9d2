//! Determines which records an unreadable file held, from its neighbors.

use std::collections::BTreeMap;

use crate::error::{Corruption, CorruptionKind};
use crate::format::names;
use crate::recovery::salvage::{Salvage, Salvaged};
use crate::storage::Dir;

impl Salvage {
    /// Corrects the LSNs of damages that were recorded before the neighbors of their files were
    /// read.
    pub(super) fn narrow_down(&mut self, dir: &Dir) {
        let path = |segment: &Salvaged| dir.path_of(&names::segment(segment.base));
        let paths = self.segments.iter().map(path).zip(0..);
        let indexes: BTreeMap<_, usize> = paths.collect();
        let mut damages = std::mem::take(&mut self.damages);
        for damage in &mut damages {
            if let Some(&index) = indexes.get(&damage.segment) {
                self.narrow(damage, index);
            }
        }
        self.damages = damages;
    }

    fn narrow(&self, damage: &mut Corruption, index: usize) {
        match damage.kind {
            CorruptionKind::ChainBroken | CorruptionKind::ForeignSegment if index > self.head => {
                self.narrow_first(damage, index);
            }
            // The unreadable page is after the header block, so a record was expected there.
            CorruptionKind::Unreadable if damage.offset > 0 => {}
            CorruptionKind::HeaderDamaged
            | CorruptionKind::NameMismatch
            | CorruptionKind::Unreadable
                if index >= self.head =>
            {
                self.narrow_last(damage, index);
            }
            CorruptionKind::ShortFile => self.narrow_short(damage, index),
            _ => {}
        }
    }

    /// The missing records before a file begin after the last record of the file before it.
    fn narrow_first(&self, damage: &mut Corruption, index: usize) {
        let before = self.segments[index - 1].records;
        let first = before.map(|records| records.end.next());
        let first = first.filter(|first| *first <= damage.last.next());
        damage.first = first.unwrap_or(damage.first);
    }

    /// An unreadable file ends before the next one begins. If the file before it holds the same
    /// records, it never belonged to the log.
    fn narrow_last(&self, damage: &mut Corruption, index: usize) {
        let base = self.segments[index].base;
        let before = index
            .checked_sub(1)
            .and_then(|index| self.segments[index].records);
        let is_covered = before.is_some_and(|records| records.end >= base);
        let next = self.segments.get(index + 1);
        let next = next.filter(|next| next.file.is_some() && !is_covered);
        damage.last = next.map_or(damage.last, |next| next.base.prev());
    }

    /// In a file that is too short, the missing records begin after the readable ones.
    fn narrow_short(&self, damage: &mut Corruption, index: usize) {
        if let Some(records) = self.segments[index].records {
            (damage.first, damage.offset) = (records.end.next(), 0);
        }
    }
}
