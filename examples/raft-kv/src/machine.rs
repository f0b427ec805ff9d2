//! The state that the log's entries make, and its snapshots.
//!
//! The state is in memory. What outlives the process is the last snapshot, a file, and the entries
//! after it, in the raft log: openraft purges an entry only when a snapshot has it, and a snapshot
//! counts once its file is synced.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot,
    SnapshotMeta, StorageError, StorageIOError, StoredMembership,
};
use serde::{Deserialize, Serialize};

use crate::{Command, Types};

/// The state of the service, shared with those who read it.
#[derive(Clone)]
pub struct Machine {
    state: Arc<RwLock<State>>,
    file: SnapshotFile,
}

/// The effect of all entries up to `applied`, and of no other.
#[derive(Clone, Default, Deserialize, Serialize)]
struct State {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    pairs: BTreeMap<String, String>,
}

impl Machine {
    /// The state of the last snapshot in `dir`.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let file = SnapshotFile {
            path: dir.join("snapshot"),
        };
        let state = match file.read()? {
            Some(stored) => decode(&stored.data)?,
            None => State::default(),
        };
        Ok(Self {
            state: Arc::new(RwLock::new(state)),
            file,
        })
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.read().pairs.get(key).cloned()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().expect("no holder of the lock panics")
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().expect("no holder of the lock panics")
    }
}

impl State {
    fn apply(&mut self, entry: Entry<Types>) {
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            EntryPayload::Normal(Command::Put { key, value }) => {
                self.pairs.insert(key, value);
            }
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
        let state = self.read();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = self.write();
        Ok(entries
            .into_iter()
            .map(|entry| state.apply(entry))
            .collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        let stored = Stored {
            meta: meta.clone(),
            data: snapshot.into_inner(),
        };
        let state = decode(&stored.data).map_err(|error| written(&error))?;
        self.file.write(stored).await?;
        *self.write() = state;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        let stored = self
            .file
            .read()
            .map_err(|error| StorageIOError::read_snapshot(None, AnyError::new(&error)))?;
        Ok(stored.map(Stored::into_snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        // What is applied meanwhile waits for the copy, and not for the file.
        let state = self.read().clone();
        let meta = SnapshotMeta {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
            snapshot_id: state
                .applied
                .map_or_else(String::new, |applied| applied.to_string()),
        };
        let data = rmp_serde::to_vec_named(&state).map_err(|error| written(&error))?;
        let stored = Stored { meta, data };
        self.file.write(stored.clone()).await?;
        Ok(stored.into_snapshot())
    }
}

/// The file of the last snapshot.
#[derive(Clone)]
struct SnapshotFile {
    path: PathBuf,
}

/// What is in it.
#[derive(Clone, Deserialize, Serialize)]
struct Stored {
    meta: SnapshotMeta<u64, BasicNode>,
    data: Vec<u8>,
}

impl Stored {
    fn into_snapshot(self) -> Snapshot<Types> {
        Snapshot {
            meta: self.meta,
            snapshot: Box::new(Cursor::new(self.data)),
        }
    }
}

impl SnapshotFile {
    fn read(&self) -> io::Result<Option<Stored>> {
        match fs::read(&self.path) {
            Ok(bytes) => decode(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns when the snapshot is on disk: after that openraft purges the entries that are in it.
    async fn write(&self, stored: Stored) -> Result<(), StorageError<u64>> {
        let path = self.path.clone();
        let outcome = tokio::task::spawn_blocking(move || replace(&path, &stored)).await;
        outcome
            .map_err(|error| written(&error))?
            .map_err(|error| written(&error))
    }
}

/// The old file or the new one, whatever happens: the new one is synced before it gets the name.
fn replace(path: &Path, stored: &Stored) -> io::Result<()> {
    let new = path.with_extension("new");
    let bytes = rmp_serde::to_vec_named(stored).map_err(io::Error::other)?;
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let dir = path.parent().expect("the file is in a directory");
    File::open(dir)?.sync_all()
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn written(error: &(impl std::error::Error + 'static)) -> StorageError<u64> {
    StorageIOError::write_snapshot(None, AnyError::new(error)).into()
}
