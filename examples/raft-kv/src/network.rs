//! How nodes talk: a POST for each call of openraft, with `MessagePack` bodies.

use std::error::Error;

use openraft::BasicNode;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Types;

/// Makes connections to other nodes.
pub struct Network(reqwest::Client);

impl Network {
    pub fn new() -> reqwest::Result<Self> {
        Ok(Self(reqwest::Client::builder().no_proxy().build()?))
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer {
            client: self.0.clone(),
            target,
            url: format!("http://{}/raft", node.addr),
        }
    }
}

/// Another node.
pub struct Peer {
    client: reqwest::Client,
    target: u64,
    url: String,
}

type CallError<E> = RPCError<u64, BasicNode, RaftError<u64, E>>;

impl Peer {
    async fn call<A, E>(
        &self,
        path: &str,
        request: &impl Serialize,
        option: RPCOption,
    ) -> Result<A, CallError<E>>
    where
        A: DeserializeOwned,
        E: Error + DeserializeOwned,
    {
        let body = rmp_serde::to_vec_named(request).map_err(|error| NetworkError::new(&error))?;
        let post = self.client.post(format!("{}/{path}", self.url));
        let sent = post.timeout(option.hard_ttl()).body(body).send().await;
        let response = sent.map_err(|error| match error.is_connect() {
            true => RPCError::Unreachable(Unreachable::new(&error)),
            false => RPCError::Network(NetworkError::new(&error)),
        })?;
        let bytes = response
            .bytes()
            .await
            .map_err(|error| NetworkError::new(&error))?;
        let answer: Result<A, RaftError<u64, E>> =
            rmp_serde::from_slice(&bytes).map_err(|error| NetworkError::new(&error))?;
        answer.map_err(|error| RemoteError::new(self.target, error).into())
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        self.call("append", &request, option).await
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, CallError<InstallSnapshotError>> {
        self.call("snapshot", &request, option).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        self.call("vote", &request, option).await
    }
}
