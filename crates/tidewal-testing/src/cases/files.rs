//! The files of a directory and what they hold.

use std::collections::BTreeMap;

/// The files of a directory, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A record: its LSN and its payload.
pub type Entry = (u64, Vec<u8>);

/// The name of the segment whose first record is `base`.
pub fn segment_name(base: u64) -> String {
    format!("{base:020}.wal")
}
