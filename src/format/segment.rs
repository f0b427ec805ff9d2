//! The header block of a segment (`docs/format.md`, "Segment header", "Head mark" and "Statement").

use crate::Lsn;
use crate::format::frame::Key;
use crate::format::le_u32;

/// Length of the encoded header.
pub(crate) const HEADER_LEN: usize = 72;

/// Where the head mark stands: in a sector of its own, so that writing it cannot tear the header.
pub(crate) const HEAD_MARK_OFFSET: usize = 512;

/// Where a segment's last statement about itself stands: a frame, in a sector of its own.
pub(crate) const STATEMENT_OFFSET: usize = 1024;

/// Length of an encoded head mark.
pub(crate) const HEAD_MARK_LEN: usize = 28;

/// A segment's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    /// Random, and the same in every segment of a log: it tells a file of another log apart.
    pub(crate) log_id: u64,
    /// The LSN of the segment's first record.
    pub(crate) base: Lsn,
    /// Random, not zero, and new for each life of the file.
    pub(crate) salt: u64,
    /// Length of the file in bytes.
    pub(crate) capacity: u64,
    /// The segment before this one; `None` if this one is the first that the log keeps.
    pub(crate) predecessor: Option<Predecessor>,
}

/// How the segment before this one ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Predecessor {
    pub(crate) salt: u64,
    /// Where its last record ended, in bytes from the start of its file.
    pub(crate) end: u64,
}

/// Why bytes are not a segment's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeaderError {
    Damaged,
    Version(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let (prev_salt, prev_end) = self
            .predecessor
            .map_or((0, 0), |prev| (prev.salt, prev.end));
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base.get().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[48..56].copy_from_slice(&prev_salt.to_le_bytes());
        bytes[56..64].copy_from_slice(&prev_end.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(Self::decode(&bytes), Ok(*self));
        bytes
    }

    /// Magic, version and checksum keep their places in every version of the format, so that a later
    /// one is told apart from damage.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        let sound = le_u32(bytes, HEADER_CRC_AT) == crc32fast::hash(&bytes[..HEADER_CRC_AT]);
        if !sound || &bytes[0..8] != MAGIC {
            return Err(HeaderError::Damaged);
        }
        match le_u32(bytes, 8) {
            VERSION => Ok(Self::fields(bytes)),
            version => Err(HeaderError::Version(version)),
        }
    }

    /// The key of the segment's frames.
    pub(crate) fn key(&self) -> Key {
        Key::new(self.salt, self.base)
    }

    fn fields(bytes: &[u8]) -> Self {
        let predecessor = Predecessor {
            salt: le_u64(bytes, 48),
            end: le_u64(bytes, 56),
        };
        Self {
            log_id: le_u64(bytes, 16),
            base: Lsn::new(le_u64(bytes, 24)),
            salt: le_u64(bytes, 32),
            capacity: le_u64(bytes, 40),
            predecessor: (predecessor.salt != 0).then_some(predecessor),
        }
    }
}

/// The bytes that say, once they stand in the header block of `header`'s segment, that everything
/// before it was truncated.
pub(crate) fn encode_head_mark(header: &Header) -> [u8; HEAD_MARK_LEN] {
    let mut bytes = [0; HEAD_MARK_LEN];
    bytes[0..8].copy_from_slice(HEAD_MAGIC);
    bytes[8..16].copy_from_slice(&header.base.get().to_le_bytes());
    bytes[16..24].copy_from_slice(&header.salt.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

const MAGIC: &[u8; 8] = b"tidewal\n";
const HEAD_MAGIC: &[u8; 8] = b"tidehead";
const VERSION: u32 = 1;
const HEADER_CRC_AT: usize = 68;

fn le_u64(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let predecessor = Some(Predecessor { salt: 3, end: 5000 });
        Header {
            log_id: 6,
            base: Lsn::new(17),
            salt: 4,
            capacity: 1 << 20,
            predecessor,
        }
    }

    #[test]
    fn a_header_is_read_back() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
        let first = Header {
            predecessor: None,
            ..header()
        };
        assert_eq!(Header::decode(&first.encode()), Ok(first));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = header().encode();
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn zeros_are_no_header() {
        assert_eq!(Header::decode(&[0; HEADER_LEN]), Err(HeaderError::Damaged));
    }

    #[test]
    fn a_later_version_is_told_apart_from_damage() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(2)));
    }

    #[test]
    fn a_head_mark_belongs_to_one_life_of_one_segment() {
        let other = Header {
            salt: 5,
            ..header()
        };
        assert_ne!(encode_head_mark(&header()), encode_head_mark(&other));
    }
}
