//! Messages between nodes: a POST for each call of openraft, with a `MessagePack` body.

use std::future::Future;
use std::time::Duration;

use openraft::errors::{
    NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotMetaOf, VoteOf};
use openraft::{BasicNode, OptionalSend};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Types;
use crate::machine::Snapshot;

/// Makes connections to other nodes.
pub struct Network(reqwest::Client);

impl Network {
    pub fn new() -> reqwest::Result<Self> {
        Ok(Self(reqwest::Client::builder().no_proxy().build()?))
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, _target: u64, node: &BasicNode) -> Peer {
        Peer {
            client: self.0.clone(),
            url: format!("http://{}/raft", node.addr),
        }
    }
}

/// A snapshot that is being sent.
#[derive(Deserialize, Serialize)]
pub struct SnapshotRequest {
    pub vote: VoteOf<Types>,
    pub meta: SnapshotMetaOf<Types>,
    pub data: Vec<u8>,
}

/// The connection to another node.
pub struct Peer {
    client: reqwest::Client,
    url: String,
}

/// The error of a request that failed on the network.
type CallError = RPCError<Types>;

impl Peer {
    async fn call<A>(
        &self,
        path: &str,
        request: &impl Serialize,
        limit: Duration,
    ) -> Result<A, CallError>
    where
        A: DeserializeOwned,
    {
        let body = rmp_serde::to_vec_named(request).map_err(|error| failed(&error))?;
        let post = self.client.post(format!("{}/{path}", self.url));
        let sent = post.timeout(limit).body(body).send().await;
        let response = sent.map_err(|error| match error.is_connect() {
            true => Unreachable::new(&error).into(),
            false => failed(&error),
        })?;
        let bytes = response.bytes().await.map_err(|error| failed(&error))?;
        let answer: Result<A, RaftError<Types>> =
            rmp_serde::from_slice(&bytes).map_err(|error| failed(&error))?;
        answer.map_err(|error| failed(&error))
    }
}

fn failed(error: &(impl std::error::Error + 'static)) -> CallError {
    NetworkError::new(error).into()
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, CallError> {
        self.call("append", &request, option.hard_ttl()).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, CallError> {
        self.call("vote", &request, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let request = SnapshotRequest {
            vote,
            meta: snapshot.meta,
            data: snapshot.snapshot,
        };
        Ok(self.call("snapshot", &request, option.hard_ttl()).await?)
    }
}
