//! Reading a complete segment of the log, to ship it: once to check it, once more part by part.
//!
//! A task of its own on the log's executor, because files block. It reads whole files that are no longer written
//! to any more and that are held back meanwhile; records are not looked at but for their checks.

use bytes::Bytes;
use crc32fast::Hasher;
use tokio::sync::mpsc;

use crate::archive::error::{Error, Result};
use crate::archive::manifest::Part;
use crate::archive::walk::{Flaw, Walk};
use crate::format::segment::{self, Header};
use crate::format::{self, names};
use crate::retention::Sealed;
use crate::storage::{Dir, File, Mode};

/// What a reader sends: once, and then once for each part.
pub(super) enum Piece {
    Surveyed(Survey),
    Part(Bytes),
}

/// A segment's parts, when all of it was found to hold.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    pub(super) crc: u32,
    pub(super) parts: Vec<Part>,
}

/// Reads a segment and sends it. Ends early if the receiver is dropped.
pub(super) async fn run(dir: Dir, sealed: Sealed, outbox: mpsc::Sender<Result<Piece>>) {
    if let Err(error) = send_all(&dir, &sealed, &outbox).await {
        // A caller that dropped the receiver does not want the error.
        let _ = outbox.send(Err(error)).await;
    }
}

async fn send_all(dir: &Dir, sealed: &Sealed, outbox: &mpsc::Sender<Result<Piece>>) -> Result<()> {
    let source = Source::open(dir, sealed)?;
    let survey = source.survey()?;
    let parts = survey.parts.clone();
    if outbox.send(Ok(Piece::Surveyed(survey))).await.is_err() {
        return Ok(());
    }
    let mut offset = 0;
    for part in parts {
        let bytes = source.part(offset)?;
        if part_of(&bytes) != part {
            return Err(source.flaw(offset, "it was changed while it was read"));
        }
        offset += part.len;
        if outbox.send(Ok(Piece::Part(bytes))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

struct Source<'a> {
    dir: &'a Dir,
    sealed: &'a Sealed,
    name: String,
    file: File,
}

impl<'a> Source<'a> {
    fn open(dir: &'a Dir, sealed: &'a Sealed) -> Result<Self> {
        let name = names::segment(sealed.header.base);
        let file = dir.open(&name, Mode::Read).map_err(crate::Error::from)?;
        Ok(Self {
            dir,
            sealed,
            name,
            file,
        })
    }

    /// Reads all of it and checks every frame.
    fn survey(&self) -> Result<Survey> {
        let mut walk = Walk::new(&self.sealed.header, self.sealed.last);
        let (mut whole, mut parts, mut offset) = (Hasher::new(), Vec::new(), 0);
        while offset < self.sealed.end {
            let bytes = self.part(offset)?;
            let data = if offset == 0 {
                &bytes[format::HEADER_BLOCK_LEN..]
            } else {
                &bytes[..]
            };
            let fed = walk.feed(data);
            fed.map_err(|Flaw { offset, reason }| self.flaw(offset, reason))?;
            whole.update(&bytes);
            parts.push(part_of(&bytes));
            offset += bytes.len() as u64;
        }
        if walk.end() != (self.sealed.last, self.sealed.end) {
            return Err(self.flaw(
                walk.end().1,
                "it ends at another place than its successor says",
            ));
        }
        Ok(Survey {
            crc: whole.finalize(),
            parts,
        })
    }

    /// The part that begins at `offset`.
    fn part(&self, offset: u64) -> Result<Bytes> {
        let left = self.sealed.end - offset;
        let len = usize::try_from(left).map_or(PART_LEN, |left| left.min(PART_LEN));
        let mut bytes = vec![0; len];
        let filled = self.file.read_at(&mut bytes, offset);
        if filled.map_err(crate::Error::from)? < len {
            return Err(self.flaw(offset, "it is shorter than it was"));
        }
        if offset == 0 {
            self.keep_header_only(&mut bytes)?;
        }
        Ok(bytes.into())
    }

    /// Head mark and statement change during a segment's life, and are no part of what is archived.
    fn keep_header_only(&self, bytes: &mut [u8]) -> Result<()> {
        let header = bytes.first_chunk().map(Header::decode);
        if header != Some(Ok(self.sealed.header)) {
            return Err(self.flaw(0, "its header is another one"));
        }
        bytes[segment::HEADER_LEN..format::HEADER_BLOCK_LEN].fill(0);
        Ok(())
    }

    fn flaw(&self, offset: u64, reason: &'static str) -> Error {
        Error::LogDamaged {
            segment: self.dir.path_of(&self.name),
            offset,
            reason,
        }
    }
}

/// Length and checksum of some bytes.
pub(super) fn part_of(bytes: &[u8]) -> Part {
    Part {
        len: bytes.len() as u64,
        crc: crc32fast::hash(bytes),
    }
}

/// What is put with one call.
const PART_LEN: usize = 8 * 1024 * 1024;

const _: () = assert!(PART_LEN > format::HEADER_BLOCK_LEN);
