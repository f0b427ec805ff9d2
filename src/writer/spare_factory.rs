//! Making the files that become segments, and their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::IoFailure;
use crate::format::names;
use crate::storage::{Dir, File, Mode};
use crate::writer::zero_fill::ZeroFill;

/// A file of full length under the name of a spare. Its contents do not matter.
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) ahead: ZeroFill,
}

/// Makes files of a segment's length.
#[derive(Clone)]
pub(super) struct SpareFactory {
    pub(super) dir: Dir,
    pub(super) len: u64,
    /// How new files are written ahead by the writer. If preallocation is off, they are not.
    ahead: ZeroFill,
    /// The number in the next file's name.
    next: Arc<AtomicU64>,
}

impl SpareFactory {
    /// `is_preallocated` says whether the preallocator writes files in advance. Only then are those
    /// that the writer makes itself written ahead.
    pub(super) fn new(dir: &Dir, len: u64, is_preallocated: bool) -> Self {
        Self {
            dir: dir.clone(),
            len,
            ahead: match is_preallocated {
                true => ZeroFill::NOTHING,
                false => ZeroFill::DONE,
            },
            next: Arc::default(),
        }
    }

    fn next_name(&self) -> String {
        names::spare(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A new file with its space allocated. Nothing is written to it.
    pub(super) fn make(&self) -> Result<Spare, IoFailure> {
        self.take_space(self.create()?)
    }

    fn create(&self) -> Result<Spare, IoFailure> {
        let (name, file) = self.name_freely(|name| self.dir.open(name, Mode::Create))?;
        let ahead = self.ahead;
        Ok(Spare { name, file, ahead })
    }

    /// Skips names that are taken by files of an earlier process that could not be removed.
    pub(super) fn name_freely<T>(
        &self,
        mut name_it: impl FnMut(&str) -> Result<T, IoFailure>,
    ) -> Result<(String, T), IoFailure> {
        loop {
            let name = self.next_name();
            match name_it(&name) {
                Err(fault) if fault.is_taken() => {}
                named => return Ok((name, named?)),
            }
        }
    }

    /// If the space cannot be allocated, the file is removed, so it does not keep a part of it.
    fn take_space(&self, spare: Spare) -> Result<Spare, IoFailure> {
        let Spare { name, file, ahead } = spare;
        match file.allocate(self.len) {
            Ok(file) => Ok(Spare { name, file, ahead }),
            Err(fault) => {
                self.discard(&name);
                Err(fault)
            }
        }
    }

    /// Removes a file that is not needed. If that fails, the next start finds and removes it.
    pub(super) fn discard(&self, name: &str) {
        let _ = self.dir.remove(name);
    }
}

/// Creates a file with the name of a spare, so the next start removes it if this process ends
/// early.
///
/// The numbers count down, so they never meet those of a factory. Otherwise, on systems that cannot
/// rename without replacing, one of them could replace the other's file.
pub(super) fn create_free(dir: &Dir) -> Result<(String, File), IoFailure> {
    let taken = dir.list()?;
    let numbers = (0..).map(|number| u64::MAX - number);
    let mut names = numbers
        .map(names::spare)
        .filter(|name| !taken.contains(name));
    loop {
        let name = names.next().expect("there are more numbers than files");
        match dir.open(&name, Mode::Create) {
            Err(fault) if fault.is_taken() => {}
            created => return Ok((name, created?)),
        }
    }
}
