//! Reading a finished segment while the log is open.
//!
//! Uses the replay's scan and verdict: a segment with a successor ends where the log says, or it is
//! damaged.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use crate::error::{CorruptionKind, IoFailure, Result};
use crate::format::HEADER_BLOCK_LEN;
use crate::format::segment::{self, Header};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::recovery::chain::{SegmentFile, SegmentMeta};
use crate::recovery::chunk::{Chunk, Keep, Records};
use crate::recovery::scan::{Scan, Stop};
use crate::storage::{Dir, File, Mode};

/// A finished segment that is being read.
pub(crate) struct FinishedScan {
    dir: Dir,
    scan: Scan,
    /// Its last record, and the offset at which that ends.
    end: (Lsn, u64),
    stop: Option<Stop>,
}

impl FinishedScan {
    /// Opens the segment with this header, whose last record ends at `end`.
    pub(crate) fn open(dir: &Dir, header: &Header, last: Lsn, end: u64) -> Result<Self> {
        let meta = find(dir, header)?;
        Ok(Self {
            dir: dir.clone(),
            scan: Scan::open(dir, &meta, Some(end))?,
            end: (last, end),
            stop: None,
        })
    }

    /// Whether the next block is one large record, which must be alone in memory.
    pub(crate) fn is_large_next(&self) -> bool {
        self.scan.is_large_next()
    }

    /// Reads a block. Returns its records from `from` on, and the LSN of the last of them, if any.
    /// `None` at the end of the segment.
    ///
    /// Records before damage are returned before the error.
    pub(crate) fn read(&mut self, from: Lsn) -> Result<Option<(Records, Option<Lsn>)>> {
        if let Some(stop) = self.stop {
            return self.check_end(stop).map(|()| None);
        }
        let mut chunk = Chunk::new(Keep::ALL);
        self.stop = self.scan.read_block(&mut chunk)?;
        chunk.skip_before(from);
        let last = chunk.last();
        Ok(Some((chunk.into_records(), last)))
    }

    /// Reads a block and keeps nothing. `false` once the segment was checked to its end.
    pub(crate) fn check_block(&mut self) -> Result<bool> {
        if let Some(stop) = self.stop {
            return self.check_end(stop).map(|()| false);
        }
        self.stop = self.scan.read_block(&mut Chunk::new(Keep::Nothing))?;
        Ok(true)
    }

    /// Opens the file of the segment with this header, to read its first `end` bytes.
    pub(crate) fn open_bytes(dir: &Dir, header: &Header, end: u64) -> Result<FinishedBytes> {
        let found = find(dir, header)?;
        Ok(FinishedBytes {
            file: dir.open(&found.name, Mode::Read)?,
            path: dir.path_of(&found.name),
            offset: 0,
            end,
        })
    }

    fn check_end(&self, stop: Stop) -> Result<()> {
        if let Stop::UnknownKind(kind) = stop {
            return Err(self.scan.unsupported(kind));
        }
        let is_whole = (self.scan.end() == self.end && !self.scan.walker.is_in_unit())
            || is_active(Mutant::OpenSegmentRead);
        let damaged = || {
            self.scan
                .damaged(&self.dir, CorruptionKind::SealedDamaged, self.end.0)
        };
        is_whole.then_some(()).ok_or_else(|| damaged().into())
    }
}

/// The bytes of a finished segment, in pieces.
pub(crate) struct FinishedBytes {
    file: File,
    path: PathBuf,
    offset: u64,
    end: u64,
}

impl FinishedBytes {
    /// The next piece, or `None` at the end. Of the header block, only the header is as in the
    /// file. The rest changes during a segment's life, and is zero here.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>> {
        let left = self.end - self.offset;
        let len = usize::try_from(left).map_or(PIECE_LEN, |left| left.min(PIECE_LEN));
        if len == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; len];
        if self.file.read_at(&mut piece, self.offset)? < len {
            let error = io::Error::other("the file is shorter than before");
            return Err(IoFailure::new("read", &self.path, error).into());
        }
        if self.offset == 0 {
            piece[segment::HEADER_LEN..HEADER_BLOCK_LEN].fill(0);
        }
        self.offset += len as u64;
        Ok(Some(piece.into()))
    }
}

/// Reads the header block of a finished segment. It must be this segment, with its full length.
fn find(dir: &Dir, header: &Header) -> Result<SegmentMeta> {
    let found = SegmentFile::read(dir, header.base)?;
    found.check_len(dir)?;
    let planned = found.meta;
    if planned.header == *header {
        return Ok(planned);
    }
    let damaged = planned.damaged(dir, CorruptionKind::ChainBroken, header.base);
    Err(damaged.into())
}

/// The size of a piece.
const PIECE_LEN: usize = 1024 * 1024;

const _: () = assert!(PIECE_LEN > HEADER_BLOCK_LEN);
