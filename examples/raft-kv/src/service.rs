//! What clients and other nodes see.

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
use openraft::error::{CheckIsLeaderError, RaftError};
use openraft::{BasicNode, ChangeMembers, Raft};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::{Command, Types};

/// What the requests share.
pub struct Service {
    id: u64,
    raft: Raft<Types>,
    machine: Machine,
}

type Shared = State<Arc<Service>>;

impl Service {
    pub fn new(id: u64, raft: Raft<Types>, machine: Machine) -> Self {
        Self { id, raft, machine }
    }

    pub fn routes(self) -> Router {
        Router::new()
            .route("/kv/{key}", get(read).put(write))
            .route("/init", post(init))
            .route("/join", post(join))
            .route("/metrics", get(metrics))
            .route("/raft/append", post(append))
            .route("/raft/snapshot", post(snapshot))
            .route("/raft/vote", post(vote))
            // openraft bounds what it sends: entries by their number, a snapshot's pieces by their size.
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::new(self))
    }

    /// Where to go with a request that only the leader can serve.
    fn not_the_leader(&self) -> Response {
        let metrics = self.raft.metrics().borrow().clone();
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
        self.raft.metrics().borrow().current_leader == Some(self.id)
    }
}

// ---------------------------------------------------------------------------------------------------
// Clients

/// 200: committed. 421: not done; the body says who leads, if that is known. 503: unknown.
async fn write(State(service): Shared, Path(key): Path<String>, value: String) -> Response {
    if !service.leads() {
        return service.not_the_leader();
    }
    // What has begun may be committed by the next leader, also if this one says that it leads no more.
    match service.raft.client_write(Command::Put { key, value }).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => unavailable(error),
    }
}

/// 200 and the value, or 404; 421 as for a write; 503: no majority answers.
async fn read(State(service): Shared, Path(key): Path<String>) -> Response {
    match service.raft.ensure_linearizable().await {
        Ok(_) => match service.machine.get(&key) {
            Some(value) => value.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_))) => {
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

/// Adds a new node: first as one that learns, and once it has caught up as one that votes.
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
    let metrics = service.raft.metrics().borrow().clone();
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
    answer(&body, |request| service.raft.install_snapshot(request)).await
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
