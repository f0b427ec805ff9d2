//! The directory that a backup is written to.
//!
//! From its first step to its last it holds a file that says that it is no log yet. Creating that file keeps
//! others out, and removing it is the last step.

use std::io;

use crate::error::{IoFailure, Result};
use crate::format::names;
use crate::storage::{Access, Dir, File, Location, Mode, Opening};

/// A directory under construction.
pub(super) struct Target {
    dir: Dir,
    /// What was created in it, first of all the file that says that it is no log.
    made: Vec<String>,
}

impl Target {
    /// Says durably that a backup is under way, before anything else is done to the directory.
    pub(super) async fn begin(location: &Location) -> Result<Self> {
        let dir = location.open(Opening {
            access: Access::Append,
            create: true,
            allow_unsynced: false,
        })?;
        check_empty(&dir)?;
        let made = Vec::new();
        let mut target = Self { dir, made };
        match target.mark_unfinished().await {
            Ok(()) => Ok(target),
            Err(error) => {
                target.give_up();
                Err(error)
            }
        }
    }

    async fn mark_unfinished(&mut self) -> Result<()> {
        let mark = self.create(names::RESTORING)?;
        mark.write_at(UNFINISHED, 0)?.0.sync().await?;
        self.dir.sync()?;
        Ok(())
    }

    pub(super) fn create(&mut self, name: &str) -> Result<File> {
        let file = self.dir.open(name, Mode::Create)?;
        self.made.push(name.to_owned());
        Ok(file)
    }

    /// All of the log is durable before the directory is one.
    pub(super) fn finish(&self) -> Result<()> {
        self.dir.sync()?;
        self.dir.remove(names::RESTORING)?;
        self.dir.sync()?;
        Ok(())
    }

    /// Removes what was created, so that the directory can be used again. If that fails, what is left stays
    /// beside the file that says that it is no log.
    pub(super) fn give_up(self) {
        let _ = self.remove_all();
    }

    /// What says that the directory is no log goes last. It may be another backup's, which was a moment
    /// faster.
    fn remove_all(&self) -> Result<()> {
        let mut made = self.made.iter();
        let Some(mark) = made.next() else {
            return Ok(());
        };
        made.try_for_each(|name| self.dir.remove(name))?;
        self.dir.sync()?;
        Ok(self.dir.remove(mark)?)
    }
}

fn check_empty(dir: &Dir) -> Result<()> {
    let Some(name) = dir.list()?.into_iter().find(|name| name != LOST_AND_FOUND) else {
        return Ok(());
    };
    let reason = format!("it holds {name}, and a backup needs an empty directory");
    let reason = io::Error::new(io::ErrorKind::DirectoryNotEmpty, reason);
    Err(IoFailure::new("back up to", dir.path(), reason).into())
}

/// For a person who finds it.
const UNFINISHED: &[u8] =
    b"A backup into this directory is under way, or was cut short: remove the directory.\n";

/// What a file system of its own has in its root.
const LOST_AND_FOUND: &str = "lost+found";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::DiskPath;

    /// Both had found the directory empty. The second one removed the word that it is no log yet.
    #[tokio::test]
    async fn regression_a_backup_that_another_one_overtakes_leaves_its_files_alone() {
        let scratch = tempfile::tempdir().expect("there is room for a directory");
        let location = DiskPath::location(scratch.path());
        let opening = Opening {
            access: Access::Append,
            create: true,
            allow_unsynced: false,
        };
        let mut late = Target {
            dir: location.open(opening).expect("it is there"),
            made: Vec::new(),
        };
        let first = Target::begin(&location).await;
        let mut first = first.expect("the directory is empty");
        late.mark_unfinished().await.expect_err("it is taken");
        late.give_up();
        first.create("a segment").expect("it can be created");
        first.finish().expect("nothing of it was removed");
    }
}
