//! Records that are submitted together.

use std::iter::Peekable;
use std::vec;

use bytes::Bytes;

/// A record and what it contains.
pub(crate) struct Encoded<X> {
    pub(crate) record: Bytes,
    pub(crate) of: X,
}

/// Records to be submitted in chunks.
pub(crate) struct Chunks<X>(Peekable<vec::IntoIter<Encoded<X>>>);

impl<X> Chunks<X> {
    pub(crate) fn new(records: Vec<Encoded<X>>) -> Self {
        Self(records.into_iter().peekable())
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.0.peek().is_none()
    }

    /// The next records that are submitted together.
    pub(crate) fn take(&mut self) -> (Vec<Bytes>, Vec<X>) {
        let (mut records, mut of, mut left) = (Vec::new(), Vec::new(), CHUNK_BYTES);
        let fits = |next: &Encoded<X>, left, is_first| is_first || next.record.len() <= left;
        while let Some(next) = self.0.next_if(|next| fits(next, left, records.is_empty())) {
            left = left.saturating_sub(next.record.len());
            records.push(next.record);
            of.push(next.of);
        }
        (records, of)
    }
}

/// The size of a chunk in bytes. Even the smallest segment has room for more.
const CHUNK_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_small_and_never_empty() {
        let lens = [3000, 3000, 3000, 9000, 1, 20_000, 8191, 1, 1];
        let encoded = lens.map(|len| Encoded {
            record: vec![0; len].into(),
            of: len,
        });
        let mut chunks = Chunks::new(encoded.into());
        let mut taken = Vec::new();
        while !chunks.is_empty() {
            let (records, of) = chunks.take();
            assert_eq!(records.iter().map(Bytes::len).collect::<Vec<_>>(), of);
            taken.push(of);
        }
        let expected = [
            vec![3000, 3000],
            vec![3000],
            vec![9000],
            vec![1],
            vec![20_000],
            vec![8191, 1],
            vec![1],
        ];
        assert_eq!(taken, expected);
    }
}
