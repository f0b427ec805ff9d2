//! The position from which the outbox continues after a restart.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tidewal::Lsn;

/// The LSN of the next record to deliver, stored in its own file.
pub struct Cursor {
    path: PathBuf,
    next: Lsn,
}

impl Cursor {
    /// Reads the cursor. Without a file, delivery begins with the log's first record.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or does not hold an LSN.
    pub fn load(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let next = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => crate::FIRST,
            Err(error) => return Err(error),
        };
        Ok(Self { path, next })
    }

    /// The next record to deliver.
    #[must_use]
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// Stores the cursor. Once this has returned, the cursor survives a power cut.
    pub(crate) async fn store(&mut self, next: Lsn) -> io::Result<()> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || replace(&path, next)).await??;
        self.next = next;
        Ok(())
    }
}

/// Replaces the file all or nothing: new contents, sync, rename, sync of the directory.
fn replace(path: &Path, next: Lsn) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    writeln!(file, "{next}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}
