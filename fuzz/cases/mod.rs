//! What the fuzz targets do with their input. Shared with `tests/fuzz_corpus.rs`, which replays the
//! corpora without a fuzzer.
//!
//! Each target turns bytes into the files of a directory, lets the log read them on the simulated disk,
//! and checks what has to hold for *any* files ([`check`]), among it that the log reads what
//! `docs/format.md` says is there: [`format`] and [`reader`] are written from that document, and use
//! nothing of the crate. `edits` checks besides what `docs/durability.md` promises for a log that was
//! sound once.
//!
//! A zero decides for whatever is sound, so that the shortest inputs are sound logs.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each fuzz target uses a part of it"
)]

mod check;
mod directory;
mod edits;
pub mod format;
mod input;
mod logs;
mod pieces;
pub mod reader;
mod record;
mod segment;

use std::collections::BTreeMap;

pub use check::{Reading, read_files};
pub use directory::directory;
pub use edits::edits;
pub use record::record;
pub use segment::segment;

/// The files of a directory, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A record: its LSN and its payload.
pub type Entry = (u64, Vec<u8>);

/// Makes files of an input.
pub type Make = fn(&[u8]) -> Files;

/// The files that each target makes of an input.
pub const LOGS: [(&str, Make); 4] = [
    ("record", record::record_files),
    ("segment", segment::segment_files),
    ("directory", directory::directory_files),
    ("edits", edits::edited_files),
];

/// An input by chance. Some of its bytes are zero, which leaves things sound, and some are small.
pub fn bytes_by_chance(seed: u64) -> Vec<u8> {
    let mut random = SplitMix(seed);
    let (len, zeros, small) = (random.below(400), random.below(100), random.below(100));
    let mut byte = || {
        let byte = random.next().to_le_bytes()[0];
        match (random.below(100) < zeros, random.below(100) < small) {
            (true, _) => 0,
            (_, true) => byte % 16,
            _ => byte,
        }
    };
    (0..len).map(|_| byte()).collect()
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Every case takes at most so many bytes of input; what is longer is cut.
pub const INPUT_LEN_MAX: usize = 4096;

/// The name of the segment whose first record is `base`.
fn segment_name(base: u64) -> String {
    format!("{base:020}.wal")
}
