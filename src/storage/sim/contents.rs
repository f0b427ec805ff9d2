//! What is done to the contents of files.

use std::io;
use std::ops::Range;

use crate::storage::sim::changes::{Change, Edit, InodeId};
use crate::storage::sim::model::{Inode, Model};

impl Model {
    pub(super) fn live(&self, inode: InodeId) -> &[u8] {
        &self.inodes[inode].live
    }

    /// How many bytes of the range can be read.
    pub(super) fn readable(&self, inode: InodeId, range: Range<usize>) -> io::Result<usize> {
        self.inodes[inode].pages.read(range)
    }

    /// How many bytes of the range can be written.
    pub(super) fn writable(&mut self, inode: InodeId, range: Range<usize>) -> io::Result<usize> {
        let len = self.inodes[inode].live.len();
        self.inodes[inode].pages.write(range, len)
    }

    pub(super) fn write(&mut self, inode: InodeId, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.take_space(inode, offset + bytes.len())?;
        self.written_bytes += bytes.len() as u64;
        if self.is_there(inode, offset, bytes) {
            return Ok(());
        }
        self.edit(
            inode,
            Edit::Write {
                offset,
                bytes: bytes.to_vec(),
            },
        );
        Ok(())
    }

    /// Whether a file has these bytes there, whichever volatile changes survive. So zeros written
    /// over zeros do not add a choice at each power cut.
    fn is_there(&self, inode: InodeId, offset: usize, bytes: &[u8]) -> bool {
        let range = offset..offset + bytes.len();
        let Inode {
            live,
            durable,
            pages,
            ..
        } = &self.inodes[inode];
        let touches = |change: &Change| {
            matches!(change, Change::Data { inode: other, edit } if *other == inode
                && edit.range(live.len()).start < range.end && range.start < edit.range(live.len()).end)
        };
        pages.are_sound()
            && live.get(range.clone()) == Some(bytes)
            && durable.get(range.clone()) == Some(bytes)
            && !self.volatile.iter().any(touches)
    }

    pub(super) fn grow(&mut self, inode: InodeId, len: usize) -> io::Result<()> {
        self.take_space(inode, len)?;
        if self.inodes[inode].live.len() < len {
            self.edit(inode, Edit::Grow { len });
        }
        Ok(())
    }

    #[cfg(feature = "tools")]
    pub(super) fn shorten(&mut self, inode: InodeId, len: usize) {
        if self.inodes[inode].live.len() > len {
            self.edit(inode, Edit::Shorten { len });
        }
    }

    /// Frees space, or does nothing, as on some file systems.
    pub(super) fn clear(&mut self, inode: InodeId, from: usize) {
        if from < self.inodes[inode].live.len() && self.coin() {
            self.edit(inode, Edit::Clear { from });
            let Inode { pages, live, .. } = &mut self.inodes[inode];
            pages.note_cached(&(from..live.len()));
        }
    }

    pub(super) fn sync(&mut self, inode: InodeId) {
        let (settled, rest): (Vec<_>, _) = std::mem::take(&mut self.volatile)
            .into_iter()
            .partition(|change| match change {
                Change::Data { inode: other, .. } => *other == inode,
                Change::Entry { edit, .. } => self.keeps_names && edit.names(inode),
            });
        self.volatile = rest;
        for change in settled {
            if let Change::Data { inode, edit } = &change {
                let Inode { pages, live, .. } = &mut self.inodes[*inode];
                pages.heal_touched(&edit.range(live.len()));
            }
            self.settle(change);
        }
    }

    /// The effect of a failed sync: the changes stay readable and will never be durable.
    pub(super) fn forget(&mut self, inode: InodeId) {
        self.volatile.retain(
            |change| !matches!(change, Change::Data { inode: other, .. } if *other == inode),
        );
    }

    fn edit(&mut self, inode: InodeId, edit: Edit) {
        edit.apply(&mut self.inodes[inode].live);
        self.volatile.push(Change::Data { inode, edit });
    }

    /// Drops clean pages from the cache, so they are read from the disk again.
    #[cfg(tidewal_mutants)]
    pub(super) fn evict(&mut self, inode: InodeId, offset: usize, len: usize) {
        let mut bytes = self.inodes[inode].durable.clone();
        self.inodes[inode].pages.evict(&(offset..offset + len));
        for change in &self.volatile {
            if let Change::Data { inode: other, edit } = change
                && *other == inode
            {
                edit.apply(&mut bytes);
                let Inode { pages, live, .. } = &mut self.inodes[inode];
                pages.note_cached(&edit.range(live.len()));
            }
        }
        let live = &mut self.inodes[inode].live;
        bytes.resize(live.len(), 0);
        let end = (offset + len).min(live.len());
        live[offset..end].copy_from_slice(&bytes[offset..end]);
    }

    fn take_space(&self, inode: InodeId, len: usize) -> io::Result<()> {
        let Some(quota) = self.quota else {
            return Ok(());
        };
        let used: usize = self
            .inodes
            .iter()
            .filter(|i| !i.removed)
            .map(|i| i.live.len())
            .sum();
        let more = len.saturating_sub(self.inodes[inode].live.len());
        match more == 0 || (used + more) as u64 <= quota {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}
