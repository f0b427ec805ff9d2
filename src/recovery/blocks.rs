//! The buffers of the read-ahead, reused once no record in them is held.
//!
//! Allocating a new megabyte for each block costs as much as reading the block from the cache,
//! because the system must find and clear its pages.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::error::IoFailure;
use crate::recovery::bad_pages;
use crate::storage::File;

/// Reads a file in blocks.
#[derive(Default)]
pub(super) struct Blocks {
    /// The last blocks read, oldest first.
    recent: VecDeque<Bytes>,
}

impl Blocks {
    /// Reads up to `len` bytes at `offset`. Returns less only at the end of the file, or before a
    /// page that cannot be read, which it names.
    pub(super) fn read(
        &mut self,
        file: &File,
        offset: u64,
        len: usize,
    ) -> Result<(Bytes, Option<u64>), IoFailure> {
        let mut buffer = self.buffer(len);
        let read = bad_pages::read(file, &mut buffer, offset)?;
        buffer.truncate(read.filled);
        let block = buffer.freeze();
        // The memory of a single large record belongs to the consumer alone.
        if len <= KEPT_LEN_MAX {
            self.recent.push_back(block.clone());
        }
        Ok((block, read.bad_page))
    }

    fn buffer(&mut self, len: usize) -> BytesMut {
        if self.recent.len() < IN_FLIGHT || len > KEPT_LEN_MAX {
            return BytesMut::zeroed(len);
        }
        let oldest = self.recent.pop_front().map(Bytes::try_into_mut);
        let Some(Ok(mut buffer)) = oldest else {
            return BytesMut::zeroed(len);
        };
        buffer.resize(len, 0);
        buffer
    }
}

/// The largest block that is kept for reuse.
const KEPT_LEN_MAX: usize = 1024 * 1024;

/// Blocks in use if the consumer keeps up: one being read, one in the channel, one being consumed.
const IN_FLIGHT: usize = 3;
