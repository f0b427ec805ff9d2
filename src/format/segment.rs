//! The header block of a segment (`docs/format.md`, "Segment").

use std::ops::{Range, RangeInclusive};

use crate::format::bytes::{le_u32, le_u64};
use crate::format::frame::{self, Key};
use crate::format::statement::{Statement, UnknownKind};
use crate::format::{DATA_OFFSET, HEADER_BLOCK_LEN, SEGMENT_SIZE_LIMIT};
use crate::lsn::Lsn;

/// Length of the encoded header.
pub(crate) const HEADER_LEN: usize = 72;

/// Where the head mark is: in a sector of its own, so that writing it cannot tear the header.
pub(crate) const HEAD_MARK_OFFSET: usize = 512;

/// Where the segment's statement is: in a sector of its own.
pub(crate) const STATEMENT_OFFSET: usize = 1024;

/// Length of an encoded head mark.
pub(crate) const HEAD_MARK_LEN: usize = 28;

/// A segment's header: what tells the segment from every other one, and which segment it follows.
///
/// The fields are those of version 1 of the format (`docs/format.md` in the repository).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Random, and the same in every segment of a log. It identifies files of another log.
    pub log_id: u64,
    /// The LSN of the segment's first record.
    pub base: Lsn,
    /// Random, not zero, and new for each life of the file.
    pub salt: u64,
    /// Length of the file in bytes.
    pub capacity: u64,
    /// The segment before this one, or `None` if the log began with this one.
    pub predecessor: Option<Predecessor>,
}

/// A segment, by its salt, and where its last record ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Predecessor {
    /// The salt in its header.
    pub salt: u64,
    /// Where its last record ends, in bytes from the start of its file.
    pub end: u64,
}

/// Why bytes are not a header that this version can read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeaderError {
    Damaged,
    Unknown(Unknown),
}

/// Something that only a later version of the format has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unknown {
    Version(u32),
    /// The byte at this offset of the header block is not zero.
    Reserved(usize),
    /// The statement is of this kind.
    Statement(u8),
}

impl Header {
    /// The length of a header block in bytes: where the first record of a segment begins.
    pub const BLOCK_LEN: u64 = DATA_OFFSET;

    /// Whether a segment can have this header.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.base > Lsn::ZERO && self.salt != 0 && CAPACITIES.contains(&self.capacity)
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let bytes = self.encode_fields();
        debug_assert_eq!(Self::decode(&bytes), Ok(*self));
        bytes
    }

    fn encode_fields(&self) -> [u8; HEADER_LEN] {
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
        bytes
    }

    /// Magic, version and checksum keep their places in every version of the format, so a later
    /// version is distinguished from damage.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        let sound = le_u32(bytes, HEADER_CRC_AT) == crc32fast::hash(&bytes[..HEADER_CRC_AT]);
        if !sound || &bytes[0..8] != MAGIC {
            return Err(HeaderError::Damaged);
        }
        let version = le_u32(bytes, 8);
        if version != VERSION {
            return Err(HeaderError::Unknown(Unknown::Version(version)));
        }
        let header = Self::fields(bytes);
        let unused = match header.predecessor {
            Some(_) => 0..0,
            None => PREDECESSOR_END,
        };
        check_reserved(bytes, [RESERVED[0].clone(), RESERVED[1].clone(), unused])
            .map_err(HeaderError::Unknown)?;
        match header.salt != 0 && CAPACITIES.contains(&header.capacity) {
            true => Ok(header),
            false => Err(HeaderError::Damaged),
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

/// What a header block contains besides the header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Remarks {
    pub(crate) has_head_mark: bool,
    pub(crate) statement: Option<Statement>,
}

impl Remarks {
    /// Decodes the header block of the segment with this header.
    pub(crate) fn decode(block: &[u8; HEADER_BLOCK_LEN], header: &Header) -> Result<Self, Unknown> {
        check_reserved(block, UNNAMED)?;
        let statement = block[STATEMENT].first_chunk();
        let statement = statement.expect("a statement has its length");
        let statement = Statement::decode(statement, &header.key());
        Ok(Self {
            has_head_mark: block[HEAD_MARK] == encode_head_mark(header),
            statement: statement.map_err(|UnknownKind(kind)| Unknown::Statement(kind))?,
        })
    }
}

/// Checks that bytes which this version does not use are zero. A later version sets one to show
/// that this version cannot read the segment.
fn check_reserved(
    bytes: &[u8],
    unused: impl IntoIterator<Item = Range<usize>>,
) -> Result<(), Unknown> {
    let mut used = unused.into_iter().flatten().filter(|&at| bytes[at] != 0);
    used.next().map_or(Ok(()), |at| Err(Unknown::Reserved(at)))
}

/// The head mark: in the header block of the segment with this header, it says that everything
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

/// Bytes of the header that this version does not use.
const RESERVED: [Range<usize>; 2] = [12..16, 64..HEADER_CRC_AT];
const PREDECESSOR_END: Range<usize> = 56..64;

/// The other parts of the header block, and the bytes between them.
const HEAD_MARK: Range<usize> = HEAD_MARK_OFFSET..HEAD_MARK_OFFSET + HEAD_MARK_LEN;
const STATEMENT: Range<usize> = STATEMENT_OFFSET..STATEMENT_OFFSET + frame::HEADER_LEN;
const UNNAMED: [Range<usize>; 3] = [
    HEADER_LEN..HEAD_MARK.start,
    HEAD_MARK.end..STATEMENT.start,
    STATEMENT.end..HEADER_BLOCK_LEN,
];

/// A segment has room for its header block, and its offsets fit into 32 bits.
const CAPACITIES: RangeInclusive<u64> = DATA_OFFSET..=SEGMENT_SIZE_LIMIT;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::statement::StatementKind;

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
        let version = Unknown::Version(2);
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Unknown(version)));
    }

    /// A first segment has no previous end either.
    #[test]
    fn a_reserved_bit_of_the_header_is_a_later_versions() {
        let first = Header {
            predecessor: None,
            ..header()
        };
        for (header, reserved) in [
            (header(), vec![12..16, 64..68]),
            (first, vec![12..16, 56..68]),
        ] {
            for at in reserved.into_iter().flatten() {
                let mut bytes = header.encode();
                bytes[at] = 0x80;
                let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
                bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
                let expected = HeaderError::Unknown(Unknown::Reserved(at));
                assert_eq!(Header::decode(&bytes), Err(expected));
            }
        }
    }

    #[test]
    fn a_sound_checksum_does_not_make_a_header() {
        for header in [
            Header {
                salt: 0,
                ..header()
            },
            Header {
                capacity: 4095,
                ..header()
            },
            Header {
                capacity: (1 << 32) + 1,
                ..header()
            },
        ] {
            let bytes = header.encode_fields();
            assert_eq!(Header::decode(&bytes), Err(HeaderError::Damaged));
        }
    }

    #[test]
    fn every_byte_of_the_header_block_is_a_field_or_zero() {
        let statement = Statement::new(StatementKind::Seal, Lsn::new(20));
        let mut block = [0; HEADER_BLOCK_LEN];
        block[..HEADER_LEN].copy_from_slice(&header().encode());
        block[HEAD_MARK].copy_from_slice(&encode_head_mark(&header()));
        block[STATEMENT].copy_from_slice(&statement.encode(&header().key()));
        let sound = Remarks {
            has_head_mark: true,
            statement: Some(statement),
        };
        assert_eq!(Remarks::decode(&block, &header()), Ok(sound));
        for at in HEADER_LEN..HEADER_BLOCK_LEN {
            let mut changed = block;
            changed[at] ^= 1;
            let expected = match at {
                at if HEAD_MARK.contains(&at) => Ok(Remarks {
                    has_head_mark: false,
                    ..sound
                }),
                at if STATEMENT.contains(&at) => Ok(Remarks {
                    statement: None,
                    ..sound
                }),
                at => Err(Unknown::Reserved(at)),
            };
            assert_eq!(Remarks::decode(&changed, &header()), expected, "byte {at}");
        }
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
