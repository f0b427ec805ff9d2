//! Reading around bad sectors: a page that the system cannot read costs only that page.

use crate::error::IoFailure;
use crate::storage::File;

/// The result of reading a range of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// How many bytes from its beginning were read.
    pub(crate) filled: usize,
    /// The offset of the bad page at which reading ended. `None` if it ended with the file or with
    /// the buffer.
    pub(crate) bad_page: Option<u64>,
}

/// Fills `buffer` from `offset` on, up to the first page that cannot be read.
///
/// First tries to read the range as a whole. If that fails, reads page by page, because a system
/// that reads ahead fails for more than the bad page.
pub(crate) fn read(file: &File, buffer: &mut [u8], offset: u64) -> Result<Read, IoFailure> {
    match file.read_at(buffer, offset) {
        Ok(filled) => Ok(Read {
            filled,
            bad_page: None,
        }),
        Err(fault) if fault.is_unreadable() => read_pages(file, buffer, offset),
        Err(fault) => Err(fault),
    }
}

fn read_pages(file: &File, buffer: &mut [u8], offset: u64) -> Result<Read, IoFailure> {
    let mut filled = 0;
    let mut bad_page = None;
    while filled < buffer.len() && bad_page.is_none() {
        let at = offset + filled as u64;
        let page = at - at % PAGE_LEN;
        let left = usize::try_from(next_page(page) - at).unwrap_or(usize::MAX);
        let end = buffer.len().min(filled + left);
        match file.read_at(&mut buffer[filled..end], at) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(fault) if fault.is_unreadable() => bad_page = Some(page),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Read { filled, bad_page })
}

/// The offset of the page after this one.
pub(crate) fn next_page(page: u64) -> u64 {
    page + PAGE_LEN
}

/// The smallest unit that a system reads.
const PAGE_LEN: u64 = 4096;
