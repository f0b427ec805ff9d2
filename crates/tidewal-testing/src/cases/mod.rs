//! What the fuzz targets do with their input. Shared with `tests/fuzz_corpus.rs`, which replays the
//! corpora without a fuzzer.
//!
//! Each target turns bytes into the files of a directory, lets the log read them on the simulated disk,
//! and checks what has to hold for *any* files (`check`), including that the log reads what
//! `docs/format.md` says is there: [`mod@format`] and [`reader`] are written from that document, and use
//! nothing of the crate. `edits` checks besides what `docs/durability.md` promises for a log that was
//! sound once.
//!
//! A zero decides for whatever is sound, so that the shortest inputs are sound logs.

mod check;
mod directory;
mod edits;
mod files;
pub mod format;
mod input;
mod logs;
mod pieces;
mod random;
pub mod reader;
mod record;
mod segment;

pub use check::{Reading, read_files};
pub use directory::directory;
pub use edits::edits;
pub use files::{Entry, Files};
pub use random::bytes_by_chance;
pub use record::record;
pub use segment::segment;

/// Makes files of an input.
pub type Make = fn(&[u8]) -> Files;

/// The files that each target makes of an input.
pub const LOGS: [(&str, Make); 4] = [
    ("record", record::record_files),
    ("segment", segment::segment_files),
    ("directory", directory::directory_files),
    ("edits", edits::edited_files),
];
