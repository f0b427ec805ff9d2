//! Power cuts and kills: which of the volatile changes reached the disk.

use std::collections::BTreeSet;

use crate::storage::sim::changes::{Change, Edit};
use crate::storage::sim::faults::Faults;
use crate::storage::sim::model::{DirState, Inode, Model};

/// Which of the volatile changes survive a power cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Survival {
    /// None: the disk holds only what was synced.
    Nothing,
    /// All of them.
    Everything,
    /// The first ones, in the order in which they were made.
    Prefix(usize),
    /// The pieces whose bits are set, where the lowest bit is the oldest piece: see
    /// [`SimDisk::volatile_pieces`](crate::sim::SimDisk::volatile_pieces). The 65th piece and those
    /// after it are lost.
    Pieces(u64),
    /// A random subset, chosen by the disk's seed. A write can survive in part, by 512-byte sectors
    /// or 4 KiB pages. A file may also have grown without its data, and then holds zeros or
    /// garbage.
    Random,
}

impl Model {
    pub(super) fn restart(&mut self, survival: Survival) {
        let volatile = std::mem::take(&mut self.volatile);
        match survival {
            Survival::Nothing => {}
            Survival::Everything => self.settle_all(volatile),
            Survival::Prefix(count) => self.settle_all(volatile.into_iter().take(count)),
            Survival::Pieces(chosen) => self.settle_chosen(volatile, chosen),
            Survival::Random => {
                for change in volatile {
                    self.settle_by_chance(change);
                }
            }
        }
        self.wake();
    }

    /// Ends the process but not the machine, so volatile changes stay.
    pub(super) fn kill(&mut self) {
        self.end_handles();
        (self.off, self.cut_at) = (false, None);
        self.faults = Faults::default();
    }

    /// Starts with the durable state only, and with nothing open.
    fn wake(&mut self) {
        for inode in &mut self.inodes {
            inode.live.clone_from(&inode.durable);
            inode.pages.lose_cache();
        }
        for dir in &mut self.dirs {
            dir.live.clone_from(&dir.durable);
        }
        self.drop_nameless_inodes();
        self.kill();
    }

    pub(super) fn volatile_pieces(&self) -> usize {
        let pieces = self.volatile.iter().map(|change| match change {
            Change::Data {
                edit: Edit::Write { offset, bytes },
                ..
            } => pieces(*offset, bytes, SECTOR).count(),
            _ => 1,
        });
        pieces.sum()
    }

    /// The same disk for another process, with nothing open.
    pub(super) fn fork(&self) -> Self {
        let mut fork = self.clone();
        fork.end_handles();
        fork
    }

    /// Makes every open file unusable and every lock free.
    fn end_handles(&mut self) {
        self.generation += 1;
        self.appended.iter_mut().for_each(BTreeSet::clear);
        self.dirs.iter_mut().for_each(DirState::release_locks);
    }

    pub(super) fn settle(&mut self, change: Change) {
        match change {
            Change::Data { inode, edit } => {
                let Inode { durable, pages, .. } = &mut self.inodes[inode];
                edit.apply(durable);
                pages.heal_filled(&edit.range(durable.len()), durable.len());
            }
            Change::Entry { dir, edit } => {
                edit.apply(&mut self.dirs[dir].durable);
            }
        }
    }

    fn settle_all(&mut self, changes: impl IntoIterator<Item = Change>) {
        changes.into_iter().for_each(|change| self.settle(change));
    }

    fn settle_chosen(&mut self, volatile: Vec<Change>, chosen: u64) {
        let pieces = volatile
            .into_iter()
            .flat_map(|change| change.into_pieces(SECTOR));
        let bits = (0..u64::BITS).map(|bit| chosen >> bit & 1 == 1);
        let survivors: Vec<_> = pieces.zip(bits).filter(|(_, survives)| *survives).collect();
        self.settle_all(survivors.into_iter().map(|(piece, _)| piece));
    }

    fn settle_by_chance(&mut self, change: Change) {
        let unit = if self.coin() { SECTOR } else { PAGE };
        for piece in change.into_pieces(unit) {
            let (survives, grows) = (self.coin(), self.coin());
            if grows {
                self.grow_without_data(&piece);
            }
            if survives {
                self.settle(piece);
            }
        }
    }

    /// The length reaches the disk without the data: the new bytes are zeros or garbage.
    fn grow_without_data(&mut self, change: &Change) {
        let Change::Data { inode, edit } = change else {
            return;
        };
        let len = match edit {
            Edit::Clear { .. } => return,
            #[cfg(feature = "tools")]
            Edit::Shorten { .. } => return,
            Edit::Grow { len } => *len,
            Edit::Write { offset, bytes } => offset + bytes.len(),
        };
        let filler = if self.coin() {
            0
        } else {
            self.random().to_le_bytes()[0]
        };
        let file = &mut self.inodes[*inode].durable;
        file.resize(file.len().max(len), filler);
    }

    pub(super) fn coin(&mut self) -> bool {
        self.random() & 1 == 1
    }

    fn drop_nameless_inodes(&mut self) {
        let named: Vec<_> = self
            .dirs
            .iter()
            .flat_map(|dir| dir.live.values().copied())
            .collect();
        for (id, inode) in self.inodes.iter_mut().enumerate() {
            inode.removed = !named.contains(&id);
            if inode.removed {
                *inode = Inode {
                    removed: true,
                    ..Inode::default()
                };
            }
        }
    }
}

impl Change {
    /// The parts of a change that reach the disk independently of each other.
    fn into_pieces(self, unit: usize) -> Vec<Self> {
        match self {
            Self::Data {
                inode,
                edit: Edit::Write { offset, bytes },
            } => pieces(offset, &bytes, unit)
                .map(|(offset, piece)| Self::Data {
                    inode,
                    edit: Edit::Write {
                        offset,
                        bytes: piece.to_vec(),
                    },
                })
                .collect(),
            whole => vec![whole],
        }
    }
}

/// A write in pieces that each lie within one unit of the disk.
fn pieces(offset: usize, bytes: &[u8], unit: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (unit - offset % unit).min(bytes.len());
    let (head, tail) = bytes.split_at(first);
    let rest = tail.chunks(unit).enumerate();
    std::iter::once((offset, head))
        .chain(rest.map(move |(index, piece)| (offset + first + index * unit, piece)))
}

/// The unit that a disk writes atomically.
const SECTOR: usize = 512;

/// The unit in which the system's cache writes.
const PAGE: usize = 4096;
