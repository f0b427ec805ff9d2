//! Three openraft 0.10 nodes that call each other.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::type_config::alias::{
    EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use openraft::{
    AnyError, BasicNode, Config, EntryPayload, LogState, OptionalSend, RaftLogReader,
    RaftSnapshotBuilder, SnapshotPolicy,
};

openraft::declare_raft_types!(
    /// Commands are bytes.
    pub Types: D = Command, R = ()
);

type Raft = openraft::Raft<Types, Machine>;
type Snapshot = SnapshotOf<Types, ()>;

/// A command.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct Command(pub Vec<u8>);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A running cluster.
pub struct Cluster {
    peers: Peers,
    leader: Raft,
}

#[derive(Clone, Default)]
struct Peers(Arc<Mutex<BTreeMap<u64, Raft>>>);

impl Peers {
    fn all(&self) -> BTreeMap<u64, Raft> {
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
        let cluster = Self { peers, leader };
        cluster.wait_for_lease().await;
        cluster
    }

    /// Waits until the leader has its lease, which takes a round of messages: it writes only while
    /// it knows that the others follow.
    async fn wait_for_lease(&self) {
        for _ in 0..1000 {
            if self.leader.client_write(Command(Vec::new())).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the leader has no lease after 10 seconds");
    }
}

impl crate::Cluster for Cluster {
    type Client = Raft;

    fn client(&self) -> Raft {
        self.leader.clone()
    }

    async fn write(client: &Raft, command: Vec<u8>) {
        let written = client.client_write(Command(command)).await;
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

impl Peer {
    fn raft(&self) -> Result<Raft, Unreachable<Types>> {
        let raft = self.peers.all().remove(&self.target);
        raft.ok_or_else(|| Unreachable::new(&AnyError::error("the node is not there")))
    }
}

fn refused(error: impl std::error::Error + 'static) -> NetworkError<Types> {
    NetworkError::new(&error)
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let answer = self.raft()?.append_entries(request).await;
        Ok(answer.map_err(refused)?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.raft()?.vote(request).await.map_err(refused)?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let answer = self.raft()?.install_full_snapshot(vote, snapshot).await;
        Ok(answer.map_err(refused)?)
    }
}

/// A state machine that knows only the last applied entry.
#[derive(Clone, Default)]
pub struct Machine(Arc<Mutex<SnapshotMetaOf<Types>>>);

impl Machine {
    fn meta(&self) -> MutexGuard<'_, SnapshotMetaOf<Types>> {
        self.0.lock().expect("nothing panics with it")
    }

    fn snapshot(&self) -> Snapshot {
        let meta = self.meta().clone();
        Snapshot { meta, snapshot: () }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let meta = self.meta();
        Ok((meta.last_log_id, meta.last_membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut meta = self.meta();
            meta.last_log_id = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                meta.last_membership =
                    StoredMembershipOf::<Types>::new(Some(entry.log_id), membership);
            }
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
        _snapshot: (),
    ) -> Result<(), io::Error> {
        *self.meta() = meta.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshot = self.snapshot();
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        Ok(self.snapshot())
    }
}

/// A raft log in memory, which loses everything with the process: the best that openraft can do.
#[derive(Clone, Default)]
pub struct MemoryLog(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    vote: Option<VoteOf<Types>>,
    purged: Option<LogIdOf<Types>>,
    entries: BTreeMap<u64, EntryOf<Types>>,
}

impl MemoryLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics with it")
    }
}

impl RaftLogStorage<Types> for MemoryLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let state = self.state();
        let last = state.entries.last_key_value();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: last.map(|(_, entry)| entry.log_id).or(state.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        self.state().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, entry));
        self.state().entries.extend(entries);
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        let since = last.map_or(0, |last| last.index + 1);
        self.state().entries.split_off(&since);
        Ok(())
    }

    async fn purge(&mut self, upto: LogIdOf<Types>) -> Result<(), io::Error> {
        let mut state = self.state();
        state.entries = state.entries.split_off(&(upto.index + 1));
        state.purged = Some(upto);
        Ok(())
    }
}

impl RaftLogReader<Types> for MemoryLog {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<EntryOf<Types>>, io::Error>
    where
        R: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend,
    {
        let state = self.state();
        let entries = state.entries.range(range);
        Ok(entries.map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        Ok(self.state().vote)
    }
}
