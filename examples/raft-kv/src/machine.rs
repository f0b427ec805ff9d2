//! The state machine: the effect of the log's entries, and its snapshots.
//!
//! The state is in memory. Two things outlive the process: the file of the last snapshot, and the
//! entries after it, in the raft log. openraft purges an entry only if a snapshot includes it, and a
//! snapshot counts once its file is synced.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{
    EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf,
};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::snapshot_file::{SnapshotFile, Stored};
use crate::{Command, Types};

pub type Snapshot = SnapshotOf<Types, Vec<u8>>;

/// The state of the service, shared with its readers.
#[derive(Clone)]
pub struct Machine {
    state: Arc<RwLock<State>>,
    /// openraft builds and installs snapshots concurrently. They exclude each other here, so the file
    /// and the state change in the same order.
    file: Arc<Mutex<SnapshotFile>>,
}

/// The effect of all entries up to `applied`, and of no other.
#[derive(Clone, Default, Deserialize, Serialize)]
struct State {
    applied: Option<LogIdOf<Types>>,
    membership: StoredMembershipOf<Types>,
    pairs: BTreeMap<String, String>,
}

impl Machine {
    /// The state of the last snapshot in `dir`.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = SnapshotFile::open(dir)?;
        let state = match file.last() {
            Some(stored) => decode(&stored.data)?,
            None => State::default(),
        };
        Ok(Self {
            state: Arc::new(RwLock::new(state)),
            file: Arc::new(Mutex::new(file)),
        })
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.read().pairs.get(key).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("nothing panics with the state")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("nothing panics with the state")
    }
}

impl State {
    fn apply(&mut self, entry: EntryOf<Types>) {
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                let log_id = Some(entry.log_id);
                self.membership = StoredMembershipOf::<Types>::new(log_id, membership);
            }
            EntryPayload::Normal(Command::Put { key, value }) => {
                self.pairs.insert(key, value);
            }
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let state = self.read();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.write().apply(entry);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        data: Vec<u8>,
    ) -> Result<(), io::Error> {
        let state = decode(&data)?;
        let meta = meta.clone();
        let mut file = self.file.lock().await;
        if file.replace(Stored { meta, data }).await? {
            *self.write() = state;
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.file.lock().await.last().map(Stored::to_snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let mut file = self.file.lock().await;
        // An entry that is applied meanwhile waits for the copy, and not for the file.
        let state = self.read().clone();
        let meta = SnapshotMetaOf::<Types> {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
        };
        let data = rmp_serde::to_vec_named(&state).map_err(io::Error::other)?;
        file.replace(Stored { meta, data }).await?;
        let last = file.last().map(Stored::to_snapshot);
        last.ok_or_else(|| io::Error::other("there is nothing to build a snapshot of"))
    }
}

fn decode(bytes: &[u8]) -> io::Result<State> {
    rmp_serde::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
