//! One segment's file, all of it.

use super::check::check;
use super::files::{Files, segment_name};
use super::format::Header;
use super::input::Input;
use super::pieces;

/// The first byte chooses between bytes as they are and a made-up segment, and the file's name.
pub fn segment(data: &[u8]) {
    check(&segment_files(data));
}

pub fn segment_files(data: &[u8]) -> Files {
    let mut input = Input::new(data);
    let choice = input.byte();
    let name_base = BASES[usize::from(choice % 8)];
    let file = match choice {
        0xf0.. => input.rest().to_vec(),
        _ => made_up(&mut input, name_base),
    };
    Files::from([(segment_name(name_base), file)])
}

fn made_up(input: &mut Input, name_base: u64) -> Vec<u8> {
    let base = match input.byte() {
        0..=239 => name_base,
        _ => input.number(8).max(1),
    };
    let header = Header {
        log_id: 5,
        base,
        salt: 6,
        capacity: 16 * 1024,
        prev_salt: 0,
        prev_end: 0,
    };
    pieces::segment(input, header, usize::MAX).file
}

/// The first LSNs of a log, those where 32 bits of them run over, and high ones up to the last.
const BASES: [u64; 8] = [
    1,
    u64::MAX,
    1000,
    (1 << 32) - 2,
    u64::MAX - 1,
    (1 << 33) - 1,
    (1 << 63) - 1,
    u64::MAX - (1 << 33),
];
