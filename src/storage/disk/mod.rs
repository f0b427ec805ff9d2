//! The disk of the machine: the only user of `std::fs`.
//!
//! A directory is held open and its files are named relative to it ([`dir`]), so a change of its
//! path cannot make the log write elsewhere. On systems without such calls, the absolute path is
//! fixed when the directory is opened, and the directory is protected from being renamed
//! ([`without_openat`]).

#[cfg(target_os = "linux")]
mod aborted_journal;
#[cfg(unix)]
mod dir;
mod file;
mod flock;
#[cfg(target_os = "linux")]
mod lock_owners;
#[cfg(unix)]
mod make;
mod path;
mod random;
#[cfg(unix)]
mod regular;
#[cfg(not(unix))]
mod without_openat;

use std::path::Path;
use std::sync::Arc;

use crate::error::IoFailure;
use crate::storage::backend::{Backend, Locator, Opening};
use crate::storage::dir::Location;

pub(crate) use crate::storage::disk::path::DiskPath;

impl DiskPath {
    pub(crate) fn location(path: &Path) -> Location {
        Location::new(Self::new(path))
    }
}

impl Locator for DiskPath {
    fn path(&self) -> &Path {
        &self.shown
    }

    #[cfg(unix)]
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, IoFailure> {
        Ok(Arc::new(make::open(&self.absolute, &self.shown, opening)?))
    }

    #[cfg(not(unix))]
    fn open(&self, opening: Opening) -> Result<Arc<dyn Backend>, IoFailure> {
        let opened = without_openat::PathDir::open(&self.absolute, &self.shown, opening)?;
        Ok(Arc::new(opened))
    }
}
