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

pub use directory::directory;
pub use edits::edits;
pub use record::record;
pub use segment::segment;

/// The files of a directory, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A record: its LSN and its payload.
pub type Entry = (u64, Vec<u8>);

/// Every case takes at most so many bytes of input; what is longer is cut.
pub const INPUT_LEN_MAX: usize = 4096;

/// The name of the segment whose first record is `base`.
fn segment_name(base: u64) -> String {
    format!("{base:020}.wal")
}
