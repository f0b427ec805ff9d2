//! A network in memory that loses, delays, repeats and reorders messages, and can be partitioned.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, OptionalSend};

use crate::machine::{Raft, Snapshot, Types, Vote};
use crate::node::Running;
use crate::rng::Rng;

/// The network, and the nodes that can be reached in it.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    nodes: BTreeMap<u64, Running>,
    /// One side of a partition.
    minority: BTreeSet<u64>,
    /// One message in this many is lost, or none if it is 0.
    loss: u64,
    /// The longest delay of a message in microseconds.
    delay: u64,
}

/// The fate of a message.
struct Fate {
    is_lost: bool,
    delay: Duration,
    /// It arrives a second time, this much later.
    again: Option<Duration>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::new(seed ^ 0x6e65_7477),
            nodes: BTreeMap::new(),
            minority: BTreeSet::new(),
            loss: 0,
            delay: 500,
        })))
    }

    pub fn connect(&self, id: u64, running: Running) {
        self.0.lock().unwrap().nodes.insert(id, running);
    }

    pub fn disconnect(&self, id: u64) -> Option<Running> {
        self.0.lock().unwrap().nodes.remove(&id)
    }

    /// The process of a node, if it runs.
    pub fn running(&self, id: u64) -> Option<Running> {
        self.0.lock().unwrap().nodes.get(&id).cloned()
    }

    /// Separates these nodes from the others.
    pub fn partition(&self, minority: BTreeSet<u64>) {
        self.0.lock().unwrap().minority = minority;
    }

    pub fn disturb(&self, loss: u64, delay: u64) {
        let mut state = self.0.lock().unwrap();
        state.loss = loss;
        state.delay = delay;
    }

    pub fn heal(&self) {
        self.partition(BTreeSet::new());
        self.disturb(0, 500);
    }

    fn fate(&self, from: u64, to: u64) -> Fate {
        let mut state = self.0.lock().unwrap();
        let is_cut = state.minority.contains(&from) != state.minority.contains(&to);
        let (loss, delay) = (state.loss, state.delay);
        let rng = &mut state.rng;
        let micros = |rng: &mut Rng| Duration::from_micros(50 + rng.roll(delay));
        Fate {
            is_lost: loss > 0 && rng.once_in(loss) || is_cut,
            delay: micros(rng),
            again: (loss > 0 && rng.once_in(loss)).then(|| 10 * micros(rng)),
        }
    }
}

/// The connection from one node to another.
pub struct Peer {
    network: Network,
    from: u64,
    target: u64,
}

/// The network as one node sees it.
#[derive(Clone)]
pub struct Attached(pub Network, pub u64);

impl RaftNetworkFactory<Types> for Attached {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        Peer {
            network: self.0.clone(),
            from: self.1,
            target,
        }
    }
}

impl Peer {
    /// Sends a request and waits for the answer, up to a timeout.
    async fn call<Q, A, F>(
        &self,
        request: Q,
        option: &RPCOption,
        handle: impl Fn(Raft, Q) -> F + Send + 'static,
    ) -> Result<A, RPCError<Types>>
    where
        Q: Clone + Send + 'static,
        A: Send + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let limit = option.hard_ttl().min(Duration::from_millis(400));
        match tokio::time::timeout(limit, self.exchange(request, handle)).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(gone("the message was lost")),
            Err(_) => Err(gone("no answer")),
        }
    }

    /// Sends a request and waits for the answer. `None` if either is lost.
    async fn exchange<Q, A, F>(
        &self,
        request: Q,
        handle: impl Fn(Raft, Q) -> F + Send + 'static,
    ) -> Option<A>
    where
        Q: Clone + Send + 'static,
        A: Send + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let there = self.network.fate(self.from, self.target);
        tokio::time::sleep(there.delay).await;
        let Running { process, raft, .. } = self.network.running(self.target)?;
        if there.is_lost {
            return std::future::pending().await;
        }
        if let Some(later) = there.again {
            let repeated = handle(raft.clone(), request.clone());
            drop(process.spawn(async move {
                tokio::time::sleep(later).await;
                repeated.await;
            }));
        }
        let answer = process.spawn(handle(raft, request)).await.ok()?;
        let back = self.network.fate(self.target, self.from);
        tokio::time::sleep(back.delay).await;
        (!back.is_lost).then_some(answer)
    }
}

fn gone(why: &str) -> RPCError<Types> {
    Unreachable::new(&AnyError::error(why)).into()
}

fn refused(error: impl std::error::Error + 'static) -> RPCError<Types> {
    NetworkError::new(&error).into()
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let handle = |raft: Raft, request| async move { raft.append_entries(request).await };
        self.call(request, &option, handle).await?.map_err(refused)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let handle = |raft: Raft, request| async move { raft.vote(request).await };
        self.call(request, &option, handle).await?.map_err(refused)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let handle = |raft: Raft, (vote, snapshot)| async move {
            raft.install_full_snapshot(vote, snapshot).await
        };
        let answer = self.call((vote, snapshot), &option, handle).await?;
        answer.map_err(|error| StreamingError::Network(NetworkError::new(&error)))
    }
}
