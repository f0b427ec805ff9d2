//! The term: the number of promotions that this machine knows of.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The highest term that this machine has served or followed, or 0 if there was none.
pub fn load(dir: &Path) -> io::Result<u64> {
    match fs::read_to_string(dir.join(NAME)) {
        Ok(text) => text.trim().parse().map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Stores the term. Once this has returned, the term survives a power cut.
pub fn store(dir: &Path, term: u64) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let new = dir.join("term.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{term}")?;
    file.sync_all()?;
    fs::rename(&new, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

const NAME: &str = "term";
