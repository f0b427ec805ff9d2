//! Reading the contents of a snapshot.

use std::io;
use std::path::PathBuf;

use crate::format::names;
use crate::format::snapshot::{
    CHUNK_HEADER_LEN, CHUNKS_OFFSET, HEADER_LEN, Header, HeaderError, decode_chunk_header,
};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::snapshot::error::{Result, SnapshotError};
use crate::storage::{Dir, File, Mode};

/// The contents of a snapshot as an [`io::Read`].
///
/// Every byte that it delivers has been checked. At the first damage, reading fails with
/// [`io::ErrorKind::InvalidData`], and the call that the function was passed to returns an error
/// that names the place.
pub struct SnapshotInput {
    file: File,
    path: PathBuf,
    header: Header,
    failure: Option<SnapshotError>,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that were delivered.
    used: usize,
    chunks: u64,
    len: u64,
    offset: u64,
}

impl SnapshotInput {
    /// Opens the snapshot of `lsn`.
    pub(super) fn open(dir: &Dir, lsn: Lsn) -> Result<Self> {
        let name = names::snapshot(lsn);
        let path = dir.path_of(&name);
        let file = match dir.open(&name, Mode::Read) {
            Err(fault) if fault.io_error().kind() == io::ErrorKind::NotFound => {
                return Err(SnapshotError::Missing { file: path });
            }
            opened => opened?,
        };
        let header = read_header(&file, &path, lsn)?;
        Ok(Self {
            file,
            path,
            header,
            failure: None,
            chunk: Vec::new(),
            used: 0,
            chunks: 0,
            len: 0,
            offset: CHUNKS_OFFSET,
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The total number of bytes of contents.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.header.len
    }

    /// Checks what was not read. An error of the file takes precedence over one of the function.
    pub(super) fn finish<T>(mut self, read: io::Result<T>) -> Result<T> {
        if self.failure.is_none() && read.is_ok() {
            while self.next_chunk().is_ok_and(|more| more) {}
        }
        match self.failure {
            Some(failure) => Err(failure),
            None => read.map_err(|error| SnapshotError::Contents(error.into())),
        }
    }

    /// Reads the next chunk. Returns `false` after the last one.
    fn next_chunk(&mut self) -> io::Result<bool> {
        if self.chunks == self.header.chunks {
            return match self.len == self.header.len {
                true => Ok(false),
                false => Err(self.fail("there are fewer contents than the header says")),
            };
        }
        let mut bytes = [0; CHUNK_HEADER_LEN];
        self.fill(&mut bytes, self.offset)?;
        let decoded = decode_chunk_header(self.header.salt, self.chunks, &bytes);
        let Some((len, crc)) = decoded else {
            return Err(self.fail("the header of a chunk does not match its check"));
        };
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(len, 0);
        self.fill(&mut chunk, self.offset + CHUNK_HEADER_LEN as u64)?;
        if crc32fast::hash(&chunk) != crc && !is_active(Mutant::SnapshotUnchecked) {
            return Err(self.fail("the contents of a chunk do not match their checksum"));
        }
        (self.chunk, self.used) = (chunk, 0);
        self.chunks += 1;
        self.len += len as u64;
        self.offset += (CHUNK_HEADER_LEN + len) as u64;
        Ok(true)
    }

    fn fill(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.file.read_at(buffer, offset) {
            Ok(count) if count == buffer.len() => Ok(()),
            Ok(_) => Err(self.fail("the file ends in a chunk")),
            Err(fault) => {
                let error = io::Error::other(fault.clone());
                self.failure = Some(fault.into());
                Err(error)
            }
        }
    }

    fn fail(&mut self, what: &'static str) -> io::Error {
        let failure = SnapshotError::Damaged {
            file: self.path.clone(),
            offset: self.offset,
            what,
        };
        self.failure = Some(failure.clone());
        io::Error::new(io::ErrorKind::InvalidData, failure)
    }
}

impl io::Read for SnapshotInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other(
                "the rest of the snapshot cannot be read after an error",
            ));
        }
        if self.used == self.chunk.len() && !self.next_chunk()? {
            return Ok(0);
        }
        let rest = &self.chunk[self.used..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.used += count;
        Ok(count)
    }
}

impl std::fmt::Debug for SnapshotInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotInput")
            .field("path", &self.path)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// Reads the header, and checks that it fits the name and the length of the file.
fn read_header(file: &File, path: &std::path::Path, lsn: Lsn) -> Result<Header> {
    let damaged = |what| SnapshotError::Damaged {
        file: path.to_owned(),
        offset: 0,
        what,
    };
    let mut bytes = [0; HEADER_LEN];
    if file.read_at(&mut bytes, 0)? < HEADER_LEN {
        return Err(damaged("the file ends in the header"));
    }
    let header = Header::decode(&bytes).map_err(|error| match error {
        HeaderError::Damaged => damaged("the header does not match its checksum"),
        HeaderError::Version(version) => SnapshotError::Unsupported {
            file: path.to_owned(),
            version,
        },
    })?;
    if header.lsn != lsn {
        return Err(damaged("the header belongs to a file of another name"));
    }
    match header.end() {
        Some(end) if end <= file.len()? => Ok(header),
        _ => Err(damaged("the file is shorter than its header says")),
    }
}
