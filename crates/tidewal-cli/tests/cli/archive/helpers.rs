//! A log and its archive.

use std::fs;
use std::path::{Path, PathBuf};

use crate::helpers::{Log, Ran, tidewal};

/// A log of 900 records, and a directory for its archive and for restored copies.
pub struct Shipped {
    pub log: Log,
    pub root: tempfile::TempDir,
}

impl Shipped {
    pub fn make() -> Self {
        let shipped = Self {
            log: Log::make(),
            root: tempfile::tempdir().unwrap(),
        };
        shipped.ship().assert_ok();
        shipped
    }

    pub fn store(&self) -> String {
        self.path("store")
    }

    pub fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn ship(&self) -> Ran {
        tidewal(&["archive", "ship", self.log.path(), &self.store()])
    }

    pub fn restore(&self, dir: &str, more: &[&str]) -> Ran {
        let (store, dir) = (self.store(), self.path(dir));
        tidewal(&[&["restore", &store, &dir], more].concat())
    }

    pub fn last_restored(&self, dir: &str) -> String {
        let dumped = tidewal(&["dump", &self.path(dir), "--raw"]);
        dumped.assert_ok().lines().pop().unwrap()
    }

    /// The first part of the newest segment.
    pub fn newest_part(&self) -> PathBuf {
        let entries = fs::read_dir(Path::new(&self.store()).join("segments")).unwrap();
        let newest = entries.map(|entry| entry.unwrap().path()).max();
        newest.unwrap().join("0000")
    }
}
