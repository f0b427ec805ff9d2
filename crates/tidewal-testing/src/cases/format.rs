//! The bytes of the log, written from `docs/format.md` and from nothing else.

/// Length of a header block: records begin here.
pub const DATA_AT: usize = 4096;
/// Length of a segment's header, of a head mark and of a frame's header.
pub const HEADER_LEN: usize = 72;
pub const HEAD_MARK_LEN: usize = 28;
pub const FRAME_LEN: usize = 20;
pub const HEAD_MARK_AT: usize = 512;
pub const STATEMENT_AT: usize = 1024;

pub const RECORD: u8 = 1;
pub const PART: u8 = 2;
pub const MARK: u8 = 3;
pub const SEAL: u8 = 4;
pub const LINK: u8 = 5;

/// The lag that says nothing.
pub const LAG_UNKNOWN: u32 = 0x00ff_ffff;

/// CRC-32 of IEEE 802.3, continued from an earlier result.
pub fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| CRC_TABLE[usize::from(*byte ^ low_byte(crc))] ^ (crc >> 8);
    !bytes.iter().fold(!seed, step)
}

/// Why a log is not read on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    Damaged(&'static str),
    /// Only a later version of the format can know it.
    Later(&'static str),
}

/// A segment's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    pub log_id: u64,
    pub base: u64,
    pub salt: u64,
    pub capacity: u64,
    pub prev_salt: u64,
    pub prev_end: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, &1_u32.to_le_bytes());
        let fields = [
            self.log_id,
            self.base,
            self.salt,
            self.capacity,
            self.prev_salt,
            self.prev_end,
        ];
        for (index, field) in fields.into_iter().enumerate() {
            put(&mut bytes, 16 + 8 * index, &field.to_le_bytes());
        }
        checksum(&mut bytes);
        bytes
    }

    /// The header at the start of a file, if it is a sound one of version 1.
    pub fn decode(file: &[u8]) -> Option<Self> {
        Self::read(file).ok()
    }

    /// The same, with the reason if it is none.
    pub fn read(file: &[u8]) -> Result<Self, Refusal> {
        let bytes: &[u8; HEADER_LEN] = file.first_chunk().ok_or(Refusal::Damaged("too short"))?;
        if u32_at(bytes, 68) != crc32(0, &bytes[..68]) || !bytes.starts_with(MAGIC) {
            return Err(Refusal::Damaged("a header is damaged"));
        }
        if u32_at(bytes, 8) != 1 {
            return Err(Refusal::Later("a header is of another version"));
        }
        let field = |index: usize| u64_at(bytes, 16 + 8 * index);
        let header = Self {
            log_id: field(0),
            base: field(1),
            salt: field(2),
            capacity: field(3),
            prev_salt: field(4),
            prev_end: field(5),
        };
        let has_no_predecessor = header.prev_salt == 0 && header.prev_end != 0;
        if u32_at(bytes, 12) != 0 || u32_at(bytes, 64) != 0 || has_no_predecessor {
            return Err(Refusal::Later("reserved bytes of a header"));
        }
        if header.salt == 0 || !(4096..=1 << 32).contains(&header.capacity) {
            return Err(Refusal::Damaged("a field is out of bounds"));
        }
        Ok(header)
    }

    pub fn head_mark(&self) -> [u8; HEAD_MARK_LEN] {
        let mut bytes = [0; HEAD_MARK_LEN];
        put(&mut bytes, 0, b"tidehead");
        put(&mut bytes, 8, &self.base.to_le_bytes());
        put(&mut bytes, 16, &self.salt.to_le_bytes());
        let sum = crc32(0, &bytes[..24]);
        put(&mut bytes, 24, &sum.to_le_bytes());
        bytes
    }
}

/// Makes the checksum of a segment's header right.
pub fn checksum(header: &mut [u8; HEADER_LEN]) {
    let sum = crc32(0, &header[..68]);
    put(header, 68, &sum.to_le_bytes());
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame {
    pub lsn: u64,
    pub payload_sum: u32,
    pub len: u32,
    pub kind: u8,
    pub lag: u32,
}

impl Frame {
    pub fn statement(kind: u8, lsn: u64) -> Self {
        Self {
            lsn,
            payload_sum: 0,
            len: 0,
            kind,
            lag: 0,
        }
    }

    pub fn encode(&self, salt: u64) -> [u8; FRAME_LEN] {
        let mut bytes = [0; FRAME_LEN];
        put(&mut bytes, 0, &self.lsn.to_le_bytes()[..4]);
        put(&mut bytes, 4, &self.payload_sum.to_le_bytes());
        put(&mut bytes, 8, &self.len.to_le_bytes());
        bytes[12] = self.kind;
        put(&mut bytes, 13, &self.lag.to_le_bytes()[..3]);
        let check = check(&bytes, self.lsn, salt);
        put(&mut bytes, 16, &check.to_le_bytes());
        bytes
    }

    /// The frame's header at `at` in a segment's file, if there is one, of whatever kind.
    pub fn decode(file: &[u8], at: usize, segment: &Header) -> Option<Self> {
        let bytes: &[u8; FRAME_LEN] = file.get(at..)?.first_chunk()?;
        if bytes[12] == 0 {
            return None;
        }
        let lsn = full_lsn(u32_at(bytes, 0), segment.base - 1)?;
        (u32_at(bytes, 16) == check(bytes, lsn, segment.salt)).then(|| Self {
            lsn,
            payload_sum: u32_at(bytes, 4),
            len: u32_at(bytes, 8),
            kind: bytes[12],
            lag: u32_at(bytes, 12) >> 8,
        })
    }

    pub fn is_record(&self) -> bool {
        matches!(self.kind, RECORD | PART)
    }

    /// Header and payload, in bytes.
    pub fn total_len(&self) -> usize {
        FRAME_LEN + usize::try_from(self.len).unwrap()
    }

    /// The last record that was durable when this was written; `None` if it says nothing.
    pub fn proves(&self) -> Option<u64> {
        (self.lag != LAG_UNKNOWN).then(|| self.lsn.saturating_sub(self.lag.into()))
    }
}

/// The LSN from `origin` to `origin + 2^32 - 1` that has these low bits.
fn full_lsn(low: u32, origin: u64) -> Option<u64> {
    let origin_low = u32::try_from(origin & 0xffff_ffff).unwrap();
    origin.checked_add(low.wrapping_sub(origin_low).into())
}

fn check(header: &[u8; FRAME_LEN], lsn: u64, salt: u64) -> u32 {
    let seed = crc32(crc32(0, &salt.to_le_bytes()), &lsn.to_le_bytes()[4..]);
    crc32(seed, &header[..16])
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

const MAGIC: &[u8; 8] = b"tidewal\n";

const fn low_byte(word: u32) -> u8 {
    word.to_le_bytes()[0]
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256_u32 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};
