//! The bytes of a snapshot (`docs/snapshots.md`, "The file").

use crate::format::bytes::{le_u32, le_u64};
use crate::lsn::Lsn;

/// Where the first chunk begins, in bytes: after one header block, as in a segment.
pub(crate) const CHUNKS_OFFSET: u64 = super::DATA_OFFSET;

/// Length of the encoded header.
pub(crate) const HEADER_LEN: usize = 80;

/// Length of a chunk's header.
pub(crate) const CHUNK_HEADER_LEN: usize = 12;

/// The most contents that a chunk holds, in bytes.
pub(crate) const CHUNK_LEN: usize = 1024 * 1024;

/// The header of a snapshot. It is written last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    /// The id of the log that the snapshot belongs to.
    pub(crate) log_id: u64,
    /// The last record that it covers.
    pub(crate) lsn: Lsn,
    /// Random, not zero, and new for each life of the file.
    pub(crate) salt: u64,
    /// The number of bytes of contents.
    pub(crate) len: u64,
    /// The number of chunks.
    pub(crate) chunks: u64,
    /// The salt of the segment that holds the last record covered, which distinguishes that record
    /// from another one with the same LSN. `None` if it was unknown, because that segment was
    /// truncated.
    pub(crate) segment: Option<u64>,
}

/// Why bytes are not a snapshot's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeaderError {
    Damaged,
    /// A later version, or a field that only a later version uses.
    Version(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.lsn.get().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.len.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.chunks.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.segment.unwrap_or(0).to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(Self::decode(&bytes), Ok(*self));
        bytes
    }

    /// Magic, version and checksum keep their places in every version of the format.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        let sound = le_u32(bytes, CRC_AT) == crc32fast::hash(&bytes[..CRC_AT]);
        if !sound || &bytes[0..8] != MAGIC {
            return Err(HeaderError::Damaged);
        }
        let version = le_u32(bytes, 8);
        let is_reserved_zero = le_u32(bytes, 12) == 0 && bytes[64..CRC_AT] == [0; CRC_AT - 64];
        if version != VERSION || !is_reserved_zero {
            return Err(HeaderError::Version(version));
        }
        Ok(Self {
            log_id: le_u64(bytes, 16),
            lsn: Lsn::new(le_u64(bytes, 24)),
            salt: le_u64(bytes, 32),
            len: le_u64(bytes, 40),
            chunks: le_u64(bytes, 48),
            segment: Some(le_u64(bytes, 56)).filter(|salt| *salt != 0),
        })
    }

    /// Where the last chunk ends, or `None` if no file can be that long.
    pub(crate) fn end(&self) -> Option<u64> {
        let headers = self.chunks.checked_mul(CHUNK_HEADER_LEN as u64)?;
        CHUNKS_OFFSET.checked_add(headers)?.checked_add(self.len)
    }
}

/// The header of the chunk with this index.
pub(crate) fn encode_chunk_header(
    salt: u64,
    index: u64,
    contents: &[u8],
) -> [u8; CHUNK_HEADER_LEN] {
    let len = u32::try_from(contents.len()).expect("a chunk is bounded by CHUNK_LEN");
    let mut bytes = [0; CHUNK_HEADER_LEN];
    bytes[0..4].copy_from_slice(&len.to_le_bytes());
    bytes[4..8].copy_from_slice(&crc32fast::hash(contents).to_le_bytes());
    let check = check_of(salt, index, &bytes[..8]);
    bytes[8..].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// A chunk's length and the checksum of its contents, or `None` if this is not its header.
pub(crate) fn decode_chunk_header(
    salt: u64,
    index: u64,
    bytes: &[u8; CHUNK_HEADER_LEN],
) -> Option<(usize, u32)> {
    let is_sound = le_u32(bytes, 8) == check_of(salt, index, &bytes[..8]);
    let len = usize::try_from(le_u32(bytes, 0)).ok()?;
    (is_sound && (1..=CHUNK_LEN).contains(&len)).then(|| (len, le_u32(bytes, 4)))
}

/// Distinguishes this chunk from others in the file, and from those of the file's earlier lives.
fn check_of(salt: u64, index: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

const MAGIC: &[u8; 8] = b"tidesnap";
const VERSION: u32 = 1;
const CRC_AT: usize = 76;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        log_id: 6,
        lsn: Lsn::new(17),
        salt: 4,
        len: 5000,
        chunks: 2,
        segment: Some(8),
    };

    #[test]
    fn a_header_is_read_back() {
        assert_eq!(Header::decode(&HEADER.encode()), Ok(HEADER));
        assert_eq!(HEADER.end(), Some(4096 + 2 * 12 + 5000));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = HEADER.encode();
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Header::decode(&damaged),
                Err(HeaderError::Damaged),
                "bit {bit}"
            );
        }
        assert_eq!(Header::decode(&[0; HEADER_LEN]), Err(HeaderError::Damaged));
    }

    #[test]
    fn what_a_later_version_may_write_is_told_apart_from_damage() {
        for (at, version) in [(8, 0), (12, 1), (64, 1), (72, 1)] {
            let mut bytes = HEADER.encode();
            bytes[at] ^= 1;
            let crc = crc32fast::hash(&bytes[..CRC_AT]);
            bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(
                Header::decode(&bytes),
                Err(HeaderError::Version(version)),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_chunk_belongs_to_one_place_of_one_life() {
        let bytes = encode_chunk_header(4, 1, b"abc");
        let sound = Some((3, crc32fast::hash(b"abc")));
        assert_eq!(decode_chunk_header(4, 1, &bytes), sound);
        assert_eq!(decode_chunk_header(5, 1, &bytes), None);
        assert_eq!(decode_chunk_header(4, 2, &bytes), None);
        for bit in 0..CHUNK_HEADER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_chunk_header(4, 1, &damaged), None, "bit {bit}");
        }
    }
}
