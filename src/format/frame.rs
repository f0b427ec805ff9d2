//! The frame: one record (`docs/format.md`, "Frame").

mod draft;

use crc32fast::Hasher;

use crate::format::bytes::le_u32;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};

pub(crate) use crate::format::frame::draft::Draft;

/// Length of a frame's header in bytes.
pub(crate) const HEADER_LEN: usize = 20;

/// Where the kind is in a frame's header.
pub(crate) const KIND_AT: usize = 12;

/// A record's header, decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) lsn: Lsn,
    /// Length of the payload in bytes.
    pub(crate) len: u32,
    /// CRC-32 of the payload.
    pub(crate) crc: u32,
    pub(crate) lag: Lag,
}

impl Frame {
    /// The header's bytes.
    pub(crate) fn encode(&self, key: &Key) -> [u8; HEADER_LEN] {
        let bytes = Raw {
            kind: self.kind as u8,
            lsn: self.lsn,
            len: self.len,
            crc: self.crc,
            lag: self.lag,
        }
        .encode(key);
        debug_assert_eq!(Self::decode(&bytes, key).as_ref(), Some(self));
        bytes
    }

    /// Decodes a header that was written to this segment, in the current life of its file. Checks
    /// neither the payload nor whether the frame fits into the file.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], key: &Key) -> Option<Self> {
        Raw::decode(bytes, key)?.record()
    }

    /// The last LSN that this frame proves to have been durable when it was written.
    pub(crate) fn proves(&self) -> Lsn {
        match self.lag {
            Lag::UNKNOWN => Lsn::ZERO,
            Lag(lag) => Lsn::new(self.lsn.get().saturating_sub(lag.into())),
        }
    }

    /// Header and payload, in bytes.
    pub(crate) fn total_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.len)
    }
}

/// The length of the payload after a valid header.
pub(crate) fn payload_len(header: &[u8; HEADER_LEN]) -> usize {
    le_u32(header, 8) as usize
}

/// A frame's header whose check holds, of any kind, including kinds that this version does not
/// know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    pub(super) kind: u8,
    pub(super) lsn: Lsn,
    pub(super) len: u32,
    pub(super) crc: u32,
    pub(super) lag: Lag,
}

impl Raw {
    pub(super) fn encode(&self, key: &Key) -> [u8; HEADER_LEN] {
        let [lag_0, lag_1, lag_2, _] = self.lag.0.to_le_bytes();
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&low_bits(self.lsn).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[KIND_AT..CHECKED_LEN].copy_from_slice(&[self.kind, lag_0, lag_1, lag_2]);
        let check = key.check(self.lsn, &bytes[..CHECKED_LEN]);
        bytes[CHECKED_LEN..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Kind 0 is never a frame, so zeros are never taken for one.
    #[inline]
    pub(super) fn decode(bytes: &[u8; HEADER_LEN], key: &Key) -> Option<Self> {
        let kind = bytes[KIND_AT];
        let lsn = key.lsn(le_u32(bytes, 0)).filter(|_| kind != 0)?;
        let is_sound = le_u32(bytes, CHECKED_LEN) == key.check(lsn, &bytes[..CHECKED_LEN]);
        if !is_sound && !is_active(Mutant::LengthTrusted) {
            return None;
        }
        let lag = Lag(u32::from_le_bytes([
            bytes[KIND_AT + 1],
            bytes[KIND_AT + 2],
            bytes[KIND_AT + 3],
            0,
        ]));
        Some(Self {
            kind,
            lsn,
            len: le_u32(bytes, 8),
            crc: le_u32(bytes, 4),
            lag,
        })
    }

    /// The frame of a record, if it is one.
    pub(super) fn record(self) -> Option<Frame> {
        let Self {
            kind,
            lsn,
            len,
            crc,
            lag,
        } = self;
        Some(Frame {
            kind: Kind::from_byte(kind)?,
            lsn,
            len,
            crc,
            lag,
        })
    }
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A record, and the last one of its atomic batch.
    Record = 1,
    /// A record whose atomic batch continues with the next one.
    Part = 2,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Record, Self::Part]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
    }
}

/// How many LSNs a frame's own LSN was ahead of the durable one when the frame was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lag(u32);

impl Lag {
    /// A distance that does not fit into 24 bits. Such a frame proves nothing.
    pub(crate) const UNKNOWN: Self = Self(0xff_ffff);

    /// The kind of a statement's frame.
    pub(super) const NONE: Self = Self(0);

    /// The lag of the record `lsn`, written while everything up to `durable` was on disk.
    pub(crate) fn between(lsn: Lsn, durable: Lsn) -> Self {
        let lag = u32::try_from(lsn.since(durable)).unwrap_or(u32::MAX);
        Self(lag.min(Self::UNKNOWN.0))
    }
}

/// What a header check covers besides the header itself: the salt of the file's current life, and
/// the high half of the LSN.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The smallest possible LSN of the segment: that of a statement before its first record.
    origin: Lsn,
    /// The CRC-32 so far, after `salt | high half of the LSN`, for the origin's high half and the one after
    /// it. A segment has fewer than 2^32 records, so there is no third.
    seeds: [Hasher; 2],
}

impl Key {
    /// The key of a segment.
    pub(crate) fn new(salt: u64, base: Lsn) -> Self {
        let origin = base.prev();
        let high = high_bits(origin);
        Self {
            origin,
            seeds: [seed(salt, high), seed(salt, high.wrapping_add(1))],
        }
    }

    /// The full LSN of a frame in this segment, from its low half, or `None` if it would be above
    /// the last possible LSN.
    fn lsn(&self, low: u32) -> Option<Lsn> {
        let ahead = low.wrapping_sub(low_bits(self.origin));
        self.origin.checked_add(ahead.into())
    }

    fn check(&self, lsn: Lsn, header: &[u8]) -> u32 {
        let crossed = usize::from(high_bits(lsn) != high_bits(self.origin));
        let mut hasher = self.seeds[crossed].clone();
        hasher.update(header);
        hasher.finalize()
    }
}

/// The part of the header that its check covers, and where the check begins.
const CHECKED_LEN: usize = 16;

const _: () = assert!(CHECKED_LEN + size_of::<u32>() == HEADER_LEN);

fn seed(salt: u64, lsn_high: u32) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&lsn_high.to_le_bytes());
    hasher
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
fn low_bits(lsn: Lsn) -> u32 {
    lsn.get() as u32
}

fn high_bits(lsn: Lsn) -> u32 {
    (lsn.get() >> 32) as u32
}

#[cfg(test)]
mod tests;
