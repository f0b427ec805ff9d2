//! The HTTP interface, for clients, operators and other nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::SnapshotResponse;
use openraft::{BasicNode, ChangeMembers, ReadPolicy};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, Snapshot};
use crate::network::SnapshotRequest;
use crate::{Command, Raft, Types};

/// The state that all requests share.
pub struct Service {
    id: u64,
    raft: Raft,
    machine: Machine,
}

type Shared = State<Arc<Service>>;

impl Service {
    pub fn new(id: u64, raft: Raft, machine: Machine) -> Self {
        Self { id, raft, machine }
    }

    /// The routes. The value of a client has at most `max_value` bytes: a command that is too large
    /// for a record of the log would stop the node that appends it, and then each of the others.
    pub fn routes(self, max_value: usize) -> Router {
        // Messages of other nodes are bounded by what clients could write: entries by their number
        // and size, a snapshot by the state.
        let peers = Router::new()
            .route("/raft/append", post(append))
            .route("/raft/snapshot", post(snapshot))
            .route("/raft/vote", post(vote))
            .layer(DefaultBodyLimit::disable());
        Router::new()
            .route("/kv/{key}", get(read).put(write))
            .layer(DefaultBodyLimit::max(max_value))
            .route("/init", post(init))
            .route("/join", post(join))
            .route("/metrics", get(metrics))
            .merge(peers)
            .with_state(Arc::new(self))
    }

    /// The answer to a request that only the leader can serve.
    fn not_the_leader(&self) -> Response {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let leader = metrics.current_leader.and_then(|leader| {
            let node = metrics.membership_config.membership().get_node(&leader);
            node.map(|node| node.addr.clone())
        });
        match leader {
            Some(addr) => (StatusCode::MISDIRECTED_REQUEST, addr).into_response(),
            None => (StatusCode::MISDIRECTED_REQUEST, String::new()).into_response(),
        }
    }

    fn leads(&self) -> bool {
        self.raft.metrics().borrow_watched().current_leader == Some(self.id)
    }
}

// ---------------------------------------------------------------------------------------------------
// Clients

/// 200: committed. 413 or 414: not done, because the value or the key is too large. 421: not done, and
/// the body names the leader if it is known. 503: outcome unknown.
async fn write(State(service): Shared, Path(key): Path<String>, value: String) -> Response {
    if key.len() > MAX_KEY {
        return StatusCode::URI_TOO_LONG.into_response();
    }
    if !service.leads() {
        return service.not_the_leader();
    }
    // The next leader may commit a write that has begun, even if this node reports that it no longer leads.
    match service.raft.client_write(Command::Put { key, value }).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => unavailable(error),
    }
}

/// 200 and the value, or 404. 421 as for a write. 503: no majority answers.
async fn read(State(service): Shared, Path(key): Path<String>) -> Response {
    match service
        .raft
        .ensure_linearizable(ReadPolicy::ReadIndex)
        .await
    {
        Ok(_) => match service.machine.get(&key) {
            Some(value) => value.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
            service.not_the_leader()
        }
        Err(error) => unavailable(error),
    }
}

fn unavailable(error: impl Display) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
}

// ---------------------------------------------------------------------------------------------------
// Operators

/// Makes a cluster of nodes that are all new: `{"1": "address", ...}`.
async fn init(State(service): Shared, body: Bytes) -> Response {
    match serde_json::from_slice::<BTreeMap<u64, String>>(&body) {
        Ok(nodes) => {
            let nodes: BTreeMap<_, _> = nodes
                .into_iter()
                .map(|(id, addr)| (id, BasicNode::new(addr)))
                .collect();
            done(service.raft.initialize(nodes).await)
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

#[derive(Deserialize)]
struct Join {
    id: u64,
    addr: String,
}

/// Adds a new node: first as a learner, and as a voter once it has caught up.
async fn join(State(service): Shared, body: Bytes) -> Response {
    let Join { id, addr } = match serde_json::from_slice(&body) {
        Ok(join) => join,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    if !service.leads() {
        return service.not_the_leader();
    }
    let learns = service.raft.add_learner(id, BasicNode::new(addr), true);
    if let Err(error) = learns.await {
        return unavailable(error);
    }
    let votes = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
    done(service.raft.change_membership(votes, false).await)
}

async fn metrics(State(service): Shared) -> Response {
    let metrics = service.raft.metrics().borrow_watched().clone();
    match serde_json::to_vec(&metrics) {
        Ok(json) => json.into_response(),
        Err(error) => unavailable(error),
    }
}

fn done<T>(outcome: Result<T, impl Display>) -> Response {
    match outcome {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => unavailable(error),
    }
}

// ---------------------------------------------------------------------------------------------------
// Other nodes

async fn append(State(service): Shared, body: Bytes) -> Response {
    answer(&body, |request| service.raft.append_entries(request)).await
}

async fn snapshot(State(service): Shared, body: Bytes) -> Response {
    answer(&body, |request| install(&service, request)).await
}

async fn install(
    service: &Service,
    request: SnapshotRequest,
) -> Result<SnapshotResponse<Types>, RaftError<Types>> {
    let SnapshotRequest { vote, meta, data } = request;
    let snapshot = data;
    let installed = service
        .raft
        .install_full_snapshot(vote, Snapshot { meta, snapshot });
    installed.await.map_err(RaftError::Fatal)
}

async fn vote(State(service): Shared, body: Bytes) -> Response {
    answer(&body, |request| service.raft.vote(request)).await
}

async fn answer<Q, A, F>(body: &[u8], call: impl FnOnce(Q) -> F) -> Response
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = A>,
{
    let request = match rmp_serde::from_slice(body) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match rmp_serde::to_vec_named(&call(request).await) {
        Ok(bytes) => bytes.into_response(),
        Err(error) => unavailable(error),
    }
}

/// The most bytes of a key. Together with a value they fit into a record and a segment of the log.
pub const MAX_KEY: usize = 1024;
