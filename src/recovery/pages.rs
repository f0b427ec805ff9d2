//! Reading around bad sectors: a page that the system cannot read costs that page, and nothing else.

use crate::error::IoFailure;
use crate::storage::File;

/// What could be read of a stretch of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// So many bytes from its beginning on.
    pub(crate) filled: usize,
    /// The page that ended it, by its offset in the file. `None` if it ended with the file, or with the
    /// buffer.
    pub(crate) bad_page: Option<u64>,
}

/// Fills `buffer` from `offset` on, up to the first page that cannot be read.
///
/// The read is tried as a whole first. Only if that fails it is tried page by page, because a system that
/// reads ahead fails for more than what is bad.
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

/// Where the page behind this one begins.
pub(crate) fn next_page(page: u64) -> u64 {
    page + PAGE_LEN
}

/// What a system reads at the least.
const PAGE_LEN: u64 = 4096;
