//! What the tests compare with.

use tidewal::Lsn;

/// Pairs of LSNs and values.
pub fn numbered<T>(first: u64, values: impl IntoIterator<Item = T>) -> Vec<(Lsn, T)> {
    (first..).map(Lsn::new).zip(values).collect()
}
