//! Three openraft 0.9 nodes that call each other.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use openraft09::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft09::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft09::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft09::storage::{RaftLogStorage, RaftStateMachine};
use openraft09::{
    AnyError, BasicNode, Config, Entry, EntryPayload, LogId, OptionalSend, Raft,
    RaftSnapshotBuilder, Snapshot, SnapshotMeta, SnapshotPolicy, StorageError, StoredMembership,
};

openraft09::declare_raft_types!(
    /// Commands are bytes.
    pub Types: D = Vec<u8>, R = (), SnapshotData = Cursor<Vec<u8>>
);

/// A running cluster.
pub struct Cluster {
    peers: Peers,
    leader: Raft<Types>,
}

#[derive(Clone, Default)]
struct Peers(Arc<Mutex<BTreeMap<u64, Raft<Types>>>>);

impl Peers {
    fn all(&self) -> BTreeMap<u64, Raft<Types>> {
        self.0.lock().expect("nothing panics with it").clone()
    }
}

impl Cluster {
    /// Starts three nodes on the logs that `open` makes, and waits until the first one leads.
    pub async fn start<L, F>(open: impl Fn(u64) -> F) -> Self
    where
        L: RaftLogStorage<Types>,
        F: Future<Output = L>,
    {
        let config = Arc::new(config().validate().expect("the configuration is valid"));
        let peers = Peers::default();
        for id in 1..=3 {
            let log = open(id).await;
            let raft = Raft::new(id, config.clone(), peers.clone(), log, Machine::default()).await;
            let raft = raft.expect("the node starts");
            let mut nodes = peers.0.lock().expect("nothing panics with it");
            nodes.insert(id, raft);
        }
        let leader = peers.all()[&1].clone();
        let members: BTreeMap<_, _> = (1..=3).map(|id| (id, BasicNode::default())).collect();
        let initialized = leader.initialize(members).await;
        initialized.expect("the cluster is new");
        let leads = leader.wait(None).current_leader(1, "it leads").await;
        leads.expect("the node runs");
        Self { peers, leader }
    }
}

impl crate::Cluster for Cluster {
    type Client = Raft<Types>;

    fn client(&self) -> Raft<Types> {
        self.leader.clone()
    }

    async fn write(client: &Raft<Types>, command: Vec<u8>) {
        let written = client.client_write(command).await;
        written.expect("the write is committed");
    }

    async fn stop(self) {
        for raft in self.peers.all().values() {
            raft.shutdown().await.expect("the node ends");
        }
        self.peers.0.lock().expect("nothing panics with it").clear();
    }
}

/// No elections while the disk is busy. Snapshots cost nothing here, and let openraft purge the
/// logs.
fn config() -> Config {
    Config {
        heartbeat_interval: 500,
        election_timeout_min: 5000,
        election_timeout_max: 6000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(20_000),
        ..Config::default()
    }
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        let peers = self.clone();
        Peer { peers, target }
    }
}

struct Peer {
    peers: Peers,
    target: u64,
}

type CallError<E = openraft09::error::Infallible> = RPCError<u64, BasicNode, RaftError<u64, E>>;

impl Peer {
    fn raft(&self) -> Result<Raft<Types>, Unreachable> {
        let raft = self.peers.all().remove(&self.target);
        raft.ok_or_else(|| Unreachable::from(AnyError::error("the node is not there")))
    }

    fn refused<E: std::error::Error>(&self, error: RaftError<u64, E>) -> CallError<E> {
        RemoteError::new(self.target, error).into()
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, CallError> {
        let answer = self.raft()?.append_entries(request).await;
        answer.map_err(|error| self.refused(error))
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, CallError<InstallSnapshotError>> {
        let answer = self.raft()?.install_snapshot(request).await;
        answer.map_err(|error| self.refused(error))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, CallError> {
        let answer = self.raft()?.vote(request).await;
        answer.map_err(|error| self.refused(error))
    }
}

/// A state machine that knows only the last applied entry.
#[derive(Clone, Default)]
struct Machine(Arc<Mutex<SnapshotMeta<u64, BasicNode>>>);

impl Machine {
    fn meta(&self) -> std::sync::MutexGuard<'_, SnapshotMeta<u64, BasicNode>> {
        self.0.lock().expect("nothing panics with it")
    }

    fn snapshot(&self) -> Snapshot<Types> {
        Snapshot {
            meta: self.meta().clone(),
            snapshot: Box::default(),
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
        let meta = self.meta();
        Ok((meta.last_log_id, meta.last_membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut meta = self.meta();
        let apply = |entry: Entry<Types>| {
            meta.last_log_id = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                meta.last_membership = StoredMembership::new(Some(entry.log_id), membership);
            }
        };
        Ok(entries.into_iter().map(apply).collect())
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
        _snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        *self.meta() = meta.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        let snapshot = self.snapshot();
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        Ok(self.snapshot())
    }
}
