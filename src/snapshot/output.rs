//! Writing the contents of a snapshot.

use std::io;

use crate::error::IoFailure;
use crate::format::snapshot::{
    self, CHUNK_HEADER_LEN, CHUNK_LEN, CHUNKS_OFFSET, Header, encode_chunk_header,
};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, skip_next_sync};
use crate::snapshot::error::SnapshotError;
use crate::snapshot::pace::Pace;
use crate::storage::{Closing, File, Synced};

/// The fields of a snapshot's header that are known before its contents are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) log_id: u64,
    pub(super) lsn: Lsn,
    pub(super) segment: Option<u64>,
    pub(super) salt: u64,
}

/// Takes the contents of a snapshot as an [`io::Write`].
///
/// It collects 1 MiB and writes it, with its checksum, in pieces of 256 KiB. Each piece is synced
/// before the next one is written, so memory is bounded, and a sync of the log waits for at most
/// one piece. While the log is appended to, the snapshot pauses after each piece for twice as long
/// as the piece took, but at most 20 ms. Writes fail with [`io::ErrorKind::Other`] once the disk
/// has failed or the log is closing. The call that the function was passed to then returns the
/// cause.
pub struct SnapshotOutput {
    /// `None` after a failure: nothing more is written.
    file: Option<File>,
    failure: Option<SnapshotError>,
    closing: Closing,
    pace: Pace,
    identity: Identity,
    /// The chunk's header, to be filled in later, and its contents so far.
    chunk: Vec<u8>,
    len: u64,
    chunks: u64,
    offset: u64,
}

impl SnapshotOutput {
    pub(super) fn new(file: File, identity: Identity, closing: Closing, pace: Pace) -> Self {
        Self {
            file: Some(file),
            failure: None,
            closing,
            pace,
            identity,
            chunk: vec![0; CHUNK_HEADER_LEN],
            len: 0,
            chunks: 0,
            offset: CHUNKS_OFFSET,
        }
    }

    /// How many bytes of contents were written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len + (self.chunk.len() - CHUNK_HEADER_LEN) as u64
    }

    /// Whether nothing was written so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the rest and the header, and syncs the file.
    pub(super) async fn finish(
        mut self,
        written: io::Result<()>,
    ) -> Result<(u64, Synced), SnapshotError> {
        let written = written.and_then(|()| self.write_chunk());
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        written.map_err(|error| SnapshotError::Contents(error.into()))?;
        let header = Header {
            log_id: self.identity.log_id,
            lsn: self.identity.lsn,
            salt: self.identity.salt,
            len: self.len,
            chunks: self.chunks,
            segment: self.identity.segment,
        };
        let file = self.file.expect("a file is lost with a failure only");
        let (file, _) = file.write_at(&header_block(&header), 0)?;
        skip_next_sync(Mutant::SnapshotUnsynced);
        let (file, synced) = file.sync().await?;
        // A reserved file may be much longer than the snapshot that it now holds.
        file.release(self.offset);
        Ok((self.len, synced))
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        if self.chunk.len() == CHUNK_HEADER_LEN {
            return Ok(());
        }
        if self.closing.hold().is_none() {
            return Err(self.fail(SnapshotError::Closed));
        }
        let contents = &self.chunk[CHUNK_HEADER_LEN..];
        let header = encode_chunk_header(self.identity.salt, self.chunks, contents);
        self.chunk[..CHUNK_HEADER_LEN].copy_from_slice(&header);
        let Some(file) = self.file.take() else {
            return Err(io::Error::other("the snapshot has failed"));
        };
        match put(file, &self.chunk, self.offset, &mut self.pace) {
            Ok(file) => self.file = Some(file),
            Err(fault) => return Err(self.fail(fault.into())),
        }
        self.len += (self.chunk.len() - CHUNK_HEADER_LEN) as u64;
        self.chunks += 1;
        self.offset += self.chunk.len() as u64;
        self.chunk.truncate(CHUNK_HEADER_LEN);
        Ok(())
    }

    fn fail(&mut self, failure: SnapshotError) -> io::Error {
        let error = io::Error::other(failure.clone());
        self.file = None;
        self.failure = Some(failure);
        error
    }
}

impl io::Write for SnapshotOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the snapshot has failed"));
        }
        let room = CHUNK_HEADER_LEN + CHUNK_LEN - self.chunk.len();
        let count = room.min(bytes.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK_HEADER_LEN + CHUNK_LEN {
            self.write_chunk()?;
        }
        Ok(count)
    }

    /// Does nothing: only the complete snapshot matters, and it is synced at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for SnapshotOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotOutput")
            .field("len", &self.len())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

fn put(mut file: File, bytes: &[u8], mut offset: u64, pace: &mut Pace) -> Result<File, IoFailure> {
    for piece in bytes.chunks(PIECE_LEN) {
        file = pace.write(|| file.write_at(piece, offset)?.0.sync_early())?;
        offset += piece.len() as u64;
    }
    Ok(file)
}

/// The largest piece. A sync of the log waits for at most one piece.
const PIECE_LEN: usize = 256 * 1024;

/// The whole block, so nothing from an earlier use of the file stays in it.
fn header_block(header: &Header) -> Vec<u8> {
    let mut block = vec![0; usize::try_from(CHUNKS_OFFSET).expect("a block fits into memory")];
    block[..snapshot::HEADER_LEN].copy_from_slice(&header.encode());
    block
}
