//! Segments that are made up: each part is sound unless the input says otherwise.

use super::format::{
    DATA_AT, FRAME_LEN, Frame, HEAD_MARK_AT, HEADER_LEN, Header, LAG_UNKNOWN, PART, RECORD,
    STATEMENT_AT, checksum, crc32,
};
use super::input::Input;

/// Fills a record area with up to `count` frames and other pieces. Returns where the last one ends and
/// the last LSN.
///
/// What goes beyond the area's end is cut off.
pub fn fill(input: &mut Input, area: &mut [u8], segment: &Header, count: usize) -> (usize, u64) {
    let mut at = 0;
    let mut last = segment.base - 1;
    for _ in 0..count {
        if input.is_empty() || at == area.len() {
            break;
        }
        let shape = input.byte();
        let piece = match shape {
            RAW => raw(input),
            ZEROS => vec![0; input.below(1024)],
            _ => frame(input, shape, segment.salt, &mut last, area.len()),
        };
        let len = piece.len().min(area.len() - at);
        area[at..at + len].copy_from_slice(&piece[..len]);
        at += len;
    }
    (at, last)
}

fn raw(input: &mut Input) -> Vec<u8> {
    let len = usize::from(input.byte());
    input.take(len).to_vec()
}

/// A frame with its payload. `shape` has a bit for each thing that can be odd about it.
fn frame(input: &mut Input, shape: u8, salt: u64, last: &mut u64, len_max: usize) -> Vec<u8> {
    let odd = |bit: u8| shape & (1 << bit) != 0;
    let kind = match (odd(0), odd(1)) {
        (false, false) => RECORD,
        (true, false) => PART,
        (_, true) => input.byte(),
    };
    let step = if odd(2) {
        input.byte().cast_signed()
    } else {
        1
    };
    let lsn = last.saturating_add_signed(step.into());
    let payload = payload(input, len_max);
    let actual_len = u32::try_from(payload.len()).unwrap();
    let len = if odd(3) { u32_of(input) } else { actual_len };
    let frame = Frame {
        lsn,
        payload_sum: crc32(0, &payload) ^ u32::from(odd(4)),
        len,
        kind,
        lag: lag(input),
    };
    // Another salt makes it a leftover of another life of the file.
    let mut bytes = frame.encode(salt ^ u64::from(odd(7))).to_vec();
    if odd(5) {
        bytes[usize::from(input.byte()) % FRAME_LEN] ^= 1 << input.below(8);
    }
    if !odd(6) {
        bytes.extend(payload);
    }
    *last = lsn;
    bytes
}

fn payload(input: &mut Input, len_max: usize) -> Vec<u8> {
    let len = match input.byte() {
        len @ 0..=0xef => usize::from(len),
        0xf0..=0xf7 => input.below(len_max),
        // So that what follows lies across the border of a piece that is searched, or read, at once.
        0xf8..=0xfb => SEARCH_LEN - usize::from(input.byte()),
        0xfc.. => BLOCK_LEN - usize::from(input.byte()),
    };
    vec![input.byte(); len.min(len_max)]
}

fn lag(input: &mut Input) -> u32 {
    match input.byte() {
        // What a lone producer's records have.
        0 => 1,
        0xfe => u32::try_from(input.number(3)).unwrap(),
        0xff => LAG_UNKNOWN,
        lag => lag.into(),
    }
}

/// A segment's file that is made up.
pub struct MadeUp {
    pub file: Vec<u8>,
    pub header: Header,
    /// Where its last frame ends, and the last LSN.
    pub end: usize,
    pub last: u64,
}

/// Makes up a segment of at most so many pieces.
///
/// `header` is what its header shall say; the input may want it otherwise.
pub fn segment(input: &mut Input, mut header: Header, count: usize) -> MadeUp {
    let odd = input.byte();
    if odd & 1 != 0 {
        header.capacity = capacity(input);
    }
    let mut file = block(input, &header, odd);
    let len = (odd & 8 != 0).then(|| input.below(2 * FILE_LEN_MAX));
    let statement = Statement::take(input);
    let (end, last) = fill(input, &mut file[DATA_AT..], &header, count);
    statement.put(&mut file, &header, last);
    file.resize(len.unwrap_or(file.len()), 0);
    MadeUp {
        file,
        header,
        end: DATA_AT + end,
        last,
    }
}

/// A file with a header and perhaps a head mark.
fn block(input: &mut Input, header: &Header, odd: u8) -> Vec<u8> {
    let capacity = usize::try_from(header.capacity).unwrap_or(usize::MAX);
    let mut file = vec![0; capacity.clamp(DATA_AT, FILE_LEN_MAX)];
    let mut bytes = header.encode();
    if odd & 2 != 0 {
        edit(input, &mut bytes);
    }
    file[..HEADER_LEN].copy_from_slice(&bytes);
    if odd & 4 != 0 {
        let mark = header.head_mark();
        file[HEAD_MARK_AT..HEAD_MARK_AT + mark.len()].copy_from_slice(&mark);
        let flips = input.byte();
        file[HEAD_MARK_AT + usize::from(flips & 31)] ^= flips >> 5;
    }
    file
}

fn capacity(input: &mut Input) -> u64 {
    match input.byte() {
        small @ 0..=99 => 4096 + u64::from(small),
        100..=199 => input.number(2),
        200..=229 => (1 << 32) - 1 + input.number(1) % 3,
        _ => input.number(8),
    }
}

/// Changes a header, and makes its checksum right again or not.
fn edit(input: &mut Input, header: &mut [u8; HEADER_LEN]) {
    let at = input.below(HEADER_LEN);
    let bytes = raw(input);
    let len = bytes.len().min(HEADER_LEN - at);
    header[at..at + len].copy_from_slice(&bytes[..len]);
    if input.byte() < 192 {
        checksum(header);
    }
}

/// What the input wants a segment to say of itself.
struct Statement {
    kind: u8,
    /// How far the LSN that it names is from the segment's last one.
    ahead: i8,
    lag: u32,
    len: u32,
    flip: Option<u8>,
}

impl Statement {
    fn take(input: &mut Input) -> Self {
        let kind = input.byte() % 8;
        let ahead = input.byte().cast_signed();
        let odd = input.byte();
        let is_odd = odd & 1 != 0;
        Self {
            kind,
            ahead,
            lag: 0,
            len: if is_odd { u32_of(input) } else { 0 },
            flip: (odd & 2 != 0).then_some(odd >> 2),
        }
    }

    /// Kind 0 is none.
    fn put(&self, file: &mut [u8], segment: &Header, last: u64) {
        if self.kind == 0 {
            return;
        }
        let frame = Frame {
            lag: self.lag,
            len: self.len,
            ..Frame::statement(self.kind, last.saturating_add_signed(self.ahead.into()))
        };
        let mut bytes = frame.encode(segment.salt);
        if let Some(flip) = self.flip {
            bytes[usize::from(flip) % FRAME_LEN] ^= 1;
        }
        file[STATEMENT_AT..STATEMENT_AT + FRAME_LEN].copy_from_slice(&bytes);
    }
}

fn u32_of(input: &mut Input) -> u32 {
    u32::try_from(input.number(4)).unwrap()
}

/// Shapes that are no frame.
const RAW: u8 = 0xff;
const ZEROS: u8 = 0xfe;

const FILE_LEN_MAX: usize = 32 * 1024;
const SEARCH_LEN: usize = 256 * 1024;
const BLOCK_LEN: usize = 1024 * 1024;
