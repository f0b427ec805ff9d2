//! The file operations of snapshots, and their order (`docs/snapshots.md`, "Orderings").

use std::io;
use std::sync::{PoisonError, RwLockReadGuard};

use crate::error::IoFailure;
use crate::format::names;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, skip_next_sync};
use crate::snapshot::error::{Result, SnapshotError};
use crate::snapshot::input::SnapshotInput;
use crate::snapshot::lineage::{Chain, Relation};
use crate::snapshot::output::{Identity, SnapshotOutput};
use crate::snapshot::pace::Pace;
use crate::snapshot::{Snapshot, SnapshotFile, SnapshotState};
use crate::storage::{Closing, Dir, File, Mode, Synced};

/// A snapshot to be written.
pub(super) struct Target<'a> {
    pub(super) dir: &'a Dir,
    pub(super) chain: &'a Chain,
    pub(super) log_id: u64,
    pub(super) lsn: Lsn,
}

/// What already has the name of the snapshot to be written.
pub(super) enum Standing {
    Free,
    Damaged,
    Sound(Snapshot),
}

impl Target<'_> {
    pub(super) fn standing(&self) -> Result<Standing> {
        match read(self.dir, self.chain, self.lsn, |_| Ok(())) {
            Ok((snapshot, ())) => Ok(Standing::Sound(snapshot)),
            Err(SnapshotError::Missing { .. }) => Ok(Standing::Free),
            Err(SnapshotError::Damaged { .. }) => Ok(Standing::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Writes and syncs the file under its temporary name.
    ///
    /// The reserved space stays reserved after an error, unless the disk has failed: then the state
    /// of its pages is unknown.
    pub(super) async fn fill(
        &self,
        closing: &Closing,
        pace: Pace,
        contents: impl FnOnce(&mut SnapshotOutput) -> io::Result<()>,
    ) -> Result<(u64, Synced)> {
        let file = open_spare(self.dir)?;
        let identity = Identity {
            log_id: self.log_id,
            lsn: self.lsn,
            segment: self.chain.segment_of(self.lsn),
            salt: self.dir.new_salt(),
        };
        let mut output = SnapshotOutput::new(file, identity, closing.clone(), pace);
        let written = contents(&mut output);
        let filled = output.finish(written).await;
        if let Err(SnapshotError::Io(fault) | SnapshotError::StorageFull(fault)) = &filled
            && !(fault.is_storage_full() && fault.action() == "write")
        {
            // The next snapshot finds it, and uses or removes it.
            let _ = self.dir.remove(names::SNAPSHOT_SPARE);
        }
        filled
    }

    /// Gives the synced file its name, and makes the name durable.
    ///
    /// A damaged file of the same name is removed first, because a rename never replaces a file. If
    /// the directory cannot be synced, the name is removed again: otherwise the next process would
    /// find it in the cache and take it for durable.
    pub(super) fn publish(&self, _: Synced, replaces: bool) -> Result<Synced> {
        let name = names::snapshot(self.lsn);
        if replaces {
            self.dir.remove(&name)?;
        }
        self.dir.rename(names::SNAPSHOT_SPARE, &name)?;
        sync_names(self.dir).inspect_err(|_| {
            // If that fails too, nothing more can be done.
            let _ = self.dir.remove(&name);
        })
    }

    pub(super) fn snapshot(&self, len: u64, synced: Synced) -> Snapshot {
        Snapshot::new(self.log_id, self.lsn, len, synced)
    }
}

/// The files with names of snapshots, oldest first, and how they relate to the log.
pub(super) fn list(dir: &Dir, chain: &Chain) -> Result<Vec<SnapshotFile>> {
    let _reading = reading(dir);
    let names = dir.list()?;
    let mut lsns: Vec<_> = names
        .iter()
        .filter_map(|name| names::parse_snapshot(name))
        .collect();
    lsns.sort_unstable();
    let look = |lsn| {
        Some(SnapshotFile {
            lsn,
            path: dir.path_of(&names::snapshot(lsn)),
            state: state_of(dir, chain, lsn)?,
        })
    };
    Ok(lsns.into_iter().filter_map(look).collect())
}

/// `None` if the file was removed in the meantime.
fn state_of(dir: &Dir, chain: &Chain, lsn: Lsn) -> Option<SnapshotState> {
    Some(match SnapshotInput::open(dir, lsn) {
        Ok(input) => match chain.relation(input.header()) {
            Relation::Own => SnapshotState::Whole {
                len: input.total_len(),
            },
            Relation::Foreign => SnapshotState::Foreign,
            Relation::Diverged => SnapshotState::Diverged,
        },
        Err(SnapshotError::Missing { .. }) => return None,
        Err(SnapshotError::Damaged { .. }) => SnapshotState::Damaged,
        Err(SnapshotError::Unsupported { version, .. }) => SnapshotState::Unsupported { version },
        Err(_) => SnapshotState::Unreadable,
    })
}

/// While this is held, no file that had the name of a snapshot is overwritten.
fn reading(dir: &Dir) -> RwLockReadGuard<'_, ()> {
    let readers = dir.snapshot_readers().read();
    readers.unwrap_or_else(PoisonError::into_inner)
}

/// Makes the names of snapshots durable. Once that has failed, it always fails.
fn sync_names(dir: &Dir) -> Result<Synced> {
    skip_next_sync(Mutant::SnapshotNameUnsynced);
    dir.sync().map_err(SnapshotError::Failed)
}

/// Reads a snapshot, checks all of it, and makes its name durable.
///
/// A process may have been killed between a rename and the sync of the directory. The name is then
/// visible, but a power cut could lose it, together with records that were truncated because of it.
/// The file itself was synced before it got the name.
pub(super) fn read<T>(
    dir: &Dir,
    chain: &Chain,
    lsn: Lsn,
    contents: impl FnOnce(&mut SnapshotInput) -> io::Result<T>,
) -> Result<(Snapshot, T)> {
    let _reading = reading(dir);
    let mut input = SnapshotInput::open(dir, lsn)?;
    let header = *input.header();
    let file = || dir.path_of(&names::snapshot(lsn));
    match chain.relation(&header) {
        Relation::Own => {}
        Relation::Foreign => return Err(SnapshotError::Foreign { file: file() }),
        Relation::Diverged => return Err(SnapshotError::Diverged { file: file() }),
    }
    let read = contents(&mut input);
    let read = input.finish(read)?;
    let synced = sync_names(dir)?;
    Ok((Snapshot::new(header.log_id, lsn, header.len, synced), read))
}

/// Removes the snapshots before `kept`. The largest file becomes the reserved space for the next
/// snapshot.
pub(super) fn remove_before(dir: &Dir, chain: &Chain, kept: &Snapshot) -> Result<usize> {
    if chain.is_foreign(kept.log_id) {
        return Err(SnapshotError::Foreign {
            file: dir.path_of(&names::snapshot(kept.lsn)),
        });
    }
    let mut older = list(dir, chain)?;
    older.retain(|file| file.lsn < kept.lsn && is_ours(file.state));
    let count = older.len();
    if count == 0 {
        return Ok(0);
    }
    if let Some(set_aside) = set_one_aside(dir, &older)? {
        older.retain(|file| file.lsn != set_aside);
    }
    remove_all(dir, &older)?;
    sync_names(dir)?;
    Ok(count)
}

/// Makes the largest file the reserved space for the next snapshot, unless space is reserved
/// already or one of the files may be open for reading: a reader would see the renamed file being
/// overwritten.
fn set_one_aside(dir: &Dir, older: &[SnapshotFile]) -> Result<Option<Lsn>> {
    let Ok(_no_reader) = dir.snapshot_readers().try_write() else {
        return Ok(None);
    };
    let largest = older.iter().max_by_key(|file| len_of(file.state));
    let largest = largest.map(|file| file.lsn);
    match largest {
        Some(lsn) if !has_spare(dir)? => {
            dir.rename(&names::snapshot(lsn), names::SNAPSHOT_SPARE)?;
            Ok(largest)
        }
        _ => Ok(None),
    }
}

fn remove_all(dir: &Dir, files: &[SnapshotFile]) -> Result<(), IoFailure> {
    let mut files = files.iter();
    files.try_for_each(|file| dir.remove(&names::snapshot(file.lsn)))
}

fn is_ours(state: SnapshotState) -> bool {
    matches!(state, SnapshotState::Whole { .. } | SnapshotState::Damaged)
}

fn len_of(state: SnapshotState) -> u64 {
    match state {
        SnapshotState::Whole { len } => len,
        _ => 0,
    }
}

fn has_spare(dir: &Dir) -> Result<bool> {
    let names = dir.list()?;
    Ok(names.iter().any(|name| name == names::SNAPSHOT_SPARE))
}

/// Reserves space for the next snapshot. If that fails, a file that was created for it is removed.
pub(super) fn reserve(dir: &Dir, bytes: u64) -> Result<()> {
    let is_new = !has_spare(dir)?;
    match open_spare(dir)?.allocate(bytes) {
        Ok(_) => Ok(()),
        Err(fault) => {
            if is_new {
                let _ = dir.remove(names::SNAPSHOT_SPARE);
            }
            Err(fault.into())
        }
    }
}

/// The reserved file, or a new one. Its contents do not matter, except to a hard-link backup that
/// shares it.
///
/// The reserved file is opened only after a sync of the directory. Otherwise a crash could bring
/// back its old name, that of a snapshot, with the contents of another one.
fn open_spare(dir: &Dir) -> Result<File> {
    match dir.open(names::SNAPSHOT_SPARE, Mode::Write) {
        Err(fault) if fault.io_error().kind() == io::ErrorKind::NotFound => {}
        Err(fault) => return Err(fault.into()),
        Ok(file) if file.is_exclusive()? => return sync_names(dir).map(|_| file),
        Ok(_) => dir.remove(names::SNAPSHOT_SPARE)?,
    }
    Ok(dir.open(names::SNAPSHOT_SPARE, Mode::Create)?)
}
