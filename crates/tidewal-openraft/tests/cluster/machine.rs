//! Registers and lists, and snapshots of them on the node's disk.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{
    LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use tidewal::sim::SimDisk;
use tidewal::{Durability, Wal};

use crate::planted::Planted;
use crate::runtime::Processes;

openraft::declare_raft_types!(
    pub Types: D = Command, R = (), AsyncRuntime = Processes
);

pub type Raft = openraft::Raft<Types, Machine>;
pub type Snapshot = SnapshotOf<Types, Vec<u8>>;
pub type Vote = VoteOf<Types>;
type Meta = SnapshotMetaOf<Types>;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Command {
    /// Adds a value to the end of a list.
    Append { list: u64, value: u64 },
    /// Sets a register.
    Set { register: u64, value: u64 },
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The effect of all entries up to `applied`, and of no other.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct State {
    pub applied: Option<LogIdOf<Types>>,
    membership: StoredMembershipOf<Types>,
    pub lists: BTreeMap<u64, Vec<u64>>,
    pub registers: BTreeMap<u64, u64>,
}

/// The state of a node, and where its snapshots are.
#[derive(Clone)]
pub struct Machine {
    state: Arc<Mutex<State>>,
    /// Building and installing a snapshot exclude each other, so a snapshot is never replaced by an
    /// older one.
    snapshots: Arc<tokio::sync::Mutex<Snapshots>>,
    /// Whether a snapshot is being installed. It stays set if the process ends meanwhile.
    is_installing: Arc<AtomicBool>,
    done: Arc<Done>,
    planted: Option<Planted>,
}

/// Counts of what the nodes of a run have completed.
#[derive(Debug, Default)]
pub struct Done {
    pub installs: AtomicU64,
    /// Processes that ended while they installed a snapshot.
    pub installs_cut: AtomicU64,
    pub memberships: AtomicU64,
}

/// A log of snapshots, of which the last one counts.
struct Snapshots {
    wal: Wal,
    last: Option<Stored>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Stored {
    meta: Meta,
    data: Vec<u8>,
}

impl Machine {
    /// The state of the last snapshot on a disk.
    pub async fn open(
        disk: &SimDisk,
        planted: Option<Planted>,
        done: Arc<Done>,
    ) -> tidewal::Result<Self> {
        let options = Wal::options().segment_size(64 * 1024).spare_segments(0);
        let mut recovery = options.recover_on(disk, "snapshots").await?;
        let mut last = None;
        while let Some(record) = recovery.try_next().await? {
            let stored: Stored = rmp_serde::from_slice(&record.payload).expect("it was encoded");
            last = Some(stored);
        }
        let state = last.as_ref().map(|stored| decode(&stored.data));
        let wal = recovery.into_wal().await?;
        Ok(Self {
            state: Arc::new(Mutex::new(state.unwrap_or_default())),
            snapshots: Arc::new(tokio::sync::Mutex::new(Snapshots { wal, last })),
            is_installing: Arc::default(),
            done,
            planted,
        })
    }

    pub fn is_installing(&self) -> bool {
        self.is_installing.load(Relaxed)
    }

    pub fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }
}

impl State {
    fn apply(
        &mut self,
        log_id: LogIdOf<Types>,
        payload: EntryPayload<Command, u64, openraft::BasicNode>,
    ) {
        self.applied = Some(log_id);
        match payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembershipOf::<Types>::new(Some(log_id), membership);
            }
            EntryPayload::Normal(Command::Append { list, value }) => {
                self.lists.entry(list).or_default().push(value);
            }
            EntryPayload::Normal(Command::Set { register, value }) => {
                self.registers.insert(register, value);
            }
        }
    }

    fn stored(&self) -> Stored {
        Stored {
            meta: Meta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            data: rmp_serde::to_vec_named(self).expect("it can be encoded"),
        }
    }
}

impl Snapshots {
    /// Makes a snapshot the last one, if it is later.
    async fn store(&mut self, stored: Stored, planted: Option<Planted>) -> io::Result<bool> {
        let old = self.last.as_ref().map(|last| last.meta.last_log_id);
        if old.is_some_and(|old| old >= stored.meta.last_log_id) {
            return Ok(false);
        }
        let record = rmp_serde::to_vec_named(&stored).map_err(io::Error::other)?;
        let durability = match planted {
            Some(Planted::SnapshotNotDurable) => Durability::Written,
            _ => Durability::Durable,
        };
        let lsn = self.wal.append_with(record, durability).await;
        let lsn = lsn.map_err(io::Error::other)?;
        self.last = Some(stored);
        if planted != Some(Planted::SnapshotNotDurable) {
            let truncated = self.wal.truncate_before(lsn).await;
            truncated.map_err(io::Error::other)?;
        }
        Ok(true)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let state = self.state();
        Ok((state.applied, state.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.state
                .lock()
                .unwrap()
                .apply(entry.log_id, entry.payload);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &Meta, data: Vec<u8>) -> Result<(), io::Error> {
        let stored = Stored {
            meta: meta.clone(),
            data,
        };
        let state = decode(&stored.data);
        let mut snapshots = self.snapshots.lock().await;
        self.is_installing.store(true, Relaxed);
        let is_stored = snapshots.store(stored, self.planted).await;
        self.is_installing.store(false, Relaxed);
        if is_stored? {
            *self.state.lock().unwrap() = state;
            self.done.installs.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let last = self.snapshots.lock().await.last.clone();
        Ok(last.map(Stored::into_snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let mut snapshots = self.snapshots.lock().await;
        let stored = self.state().stored();
        snapshots.store(stored.clone(), self.planted).await?;
        Ok(stored.into_snapshot())
    }
}

impl Stored {
    fn into_snapshot(self) -> Snapshot {
        Snapshot {
            meta: self.meta,
            snapshot: self.data,
        }
    }
}

fn decode(data: &[u8]) -> State {
    rmp_serde::from_slice(data).expect("it was encoded")
}
