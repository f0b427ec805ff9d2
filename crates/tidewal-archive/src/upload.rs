//! Puts a finished segment: reads it once to check it, and again to put it part by part.

use std::sync::Arc;

use bytes::Bytes;
use crc32fast::Hasher;
use object_store::PutPayload;
use tidewal::import::{SegmentChecker, SegmentFlaw};
use tidewal::{FinishedSegment, SegmentBytes};

use crate::error::{Error, Result};
use crate::manifest::{PART_LEN, Part, Sealed, Shipped};
use crate::objects::Objects;
use crate::retry::Retry;

/// Puts the parts of segments.
pub(super) struct Uploader {
    pub(super) objects: Objects,
    pub(super) retry: Arc<Retry>,
}

impl Uploader {
    /// Puts all parts of a segment. If the file cannot be read at the moment, tries again later.
    pub(super) async fn put_segment(&self, segment: &FinishedSegment) -> Result<Shipped> {
        self.retry.run(|| self.try_put(segment)).await
    }

    async fn try_put(&self, segment: &FinishedSegment) -> Result<Shipped> {
        // The checksum of all bytes is in the name of each part.
        let shipped = survey(segment).await?;
        let mut parts = Parts::of(segment);
        let (mut index, mut offset) = (0, 0);
        while let Some(found) = parts.next().await? {
            if shipped.parts.get(index) != Some(&found.part()) {
                return Err(damaged(
                    segment,
                    offset,
                    "it changed while it was being read",
                ));
            }
            let object = self.objects.part(&shipped, index);
            let payload = PutPayload::from_iter(found.pieces);
            let put = || self.objects.put(&object, payload.clone());
            self.retry.call("put", &object, put).await?;
            offset += found.len;
            index += 1;
        }
        Ok(shipped)
    }
}

/// Reads all of a segment and checks every record.
async fn survey(segment: &FinishedSegment) -> Result<Shipped> {
    let mut checker = SegmentChecker::new(segment.header());
    let mut parts = Parts::of(segment);
    let (mut whole, mut found) = (Hasher::new(), Vec::new());
    while let Some(part) = parts.next().await? {
        let flawed = |SegmentFlaw { offset, reason, .. }| damaged(segment, offset, reason);
        let mut pieces = part.pieces.iter();
        pieces.try_for_each(|piece| checker.feed(piece).map_err(flawed))?;
        whole.combine(&part.sum);
        found.push(part.part());
    }
    let (last, end) = checker.end();
    if (last, end) != (segment.last(), segment.size()) {
        let reason = "it does not end where its successor says";
        return Err(damaged(segment, end, reason));
    }
    Ok(Shipped {
        sealed: Sealed::of(segment),
        crc: whole.finalize(),
        parts: found,
        times: Vec::new(),
    })
}

fn damaged(segment: &FinishedSegment, offset: u64, reason: &'static str) -> Error {
    Error::LogDamaged {
        segment: segment.path(),
        offset,
        reason,
    }
}

/// The parts of a segment as they are read.
struct Parts {
    bytes: SegmentBytes,
    /// The bytes read so far of the next part.
    rest: Bytes,
}

/// A part, in the pieces in which it was read.
#[derive(Default)]
struct ReadPart {
    pieces: Vec<Bytes>,
    len: u64,
    sum: Hasher,
}

impl Parts {
    fn of(segment: &FinishedSegment) -> Self {
        Self {
            bytes: segment.bytes(),
            rest: Bytes::new(),
        }
    }

    /// The next part, or `None` after the last one.
    async fn next(&mut self) -> Result<Option<ReadPart>> {
        let mut part = ReadPart::default();
        while part.len < PART_LEN {
            if self.rest.is_empty() {
                let Some(piece) = self.bytes.try_next().await? else {
                    break;
                };
                self.rest = piece;
            }
            part.take_from(&mut self.rest);
        }
        Ok((part.len > 0).then_some(part))
    }
}

impl ReadPart {
    fn take_from(&mut self, bytes: &mut Bytes) {
        let room = usize::try_from(PART_LEN - self.len).unwrap_or(usize::MAX);
        let piece = bytes.split_to(room.min(bytes.len()));
        self.sum.update(&piece);
        self.len += piece.len() as u64;
        self.pieces.push(piece);
    }

    fn part(&self) -> Part {
        Part {
            len: self.len,
            crc: self.sum.clone().finalize(),
        }
    }
}
