//! A client that tries one node after the other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep, timeout};

use crate::history::{History, What};
use crate::machine::{Command, State};
use crate::network::Network;
use crate::node::Running;
use crate::planted::Planted;
use crate::rng::Rng;
use crate::story::trace;

pub struct Client {
    pub network: Network,
    pub nodes: u64,
    pub rng: Rng,
    pub history: Rc<RefCell<History>>,
    /// The last value that any client wrote.
    pub values: Rc<Cell<u64>>,
    pub planted: Option<Planted>,
    /// The next node to ask.
    pub target: u64,
}

impl Client {
    pub async fn work(mut self, until: Instant) {
        while Instant::now() < until {
            self.call().await;
            let pause = self.rng.roll(20_000);
            sleep(Duration::from_micros(pause)).await;
        }
    }

    async fn call(&mut self) {
        let Some(node) = self.network.running(self.target) else {
            self.target = 1 + self.rng.roll(self.nodes);
            return;
        };
        let which = self.rng.roll(2);
        match self.rng.roll(4) {
            0 => self.append(node, which).await,
            1 => self.set(node, which).await,
            2 => {
                let what = |state: &State| What::Read {
                    list: which,
                    values: state.lists.get(&which).cloned().unwrap_or_default(),
                };
                self.read(node, what).await;
            }
            _ => {
                let what = |state: &State| What::Get {
                    register: which,
                    value: state.registers.get(&which).copied().unwrap_or_default(),
                };
                self.read(node, what).await;
            }
        }
    }

    async fn append(&mut self, node: Running, list: u64) {
        let value = self.value();
        let what = What::Append { list, value };
        self.write(node, Command::Append { list, value }, what)
            .await;
    }

    async fn set(&mut self, node: Running, register: u64) {
        let value = self.value();
        let what = What::Set { register, value };
        self.write(node, Command::Set { register, value }, what)
            .await;
    }

    fn value(&self) -> u64 {
        self.values.set(self.values.get() + 1);
        self.values.get()
    }

    async fn write(&mut self, node: Running, command: Command, what: What) {
        let start = self.history.borrow_mut().tick();
        let raft = node.raft.clone();
        let write = async move { raft.client_write(command).await.is_ok() };
        let is_done = matches!(
            timeout(PATIENCE, node.process.spawn(write)).await,
            Ok(Ok(true))
        );
        self.history
            .borrow_mut()
            .note(self.target, what, start, is_done);
        self.look_elsewhere(&node, is_done);
    }

    async fn read(&mut self, node: Running, what: impl Fn(&State) -> What) {
        let start = self.history.borrow_mut().tick();
        let may_be_stale = self.planted == Some(Planted::StaleRead);
        let read = read(node.clone(), self.target, may_be_stale);
        let answer = timeout(PATIENCE, node.process.spawn(read)).await;
        let state = answer.ok().and_then(Result::ok).flatten();
        trace(|| {
            format!(
                "node {}: read {start} {} {}",
                self.target,
                state.is_some(),
                view(&node)
            )
        });
        if let Some(state) = &state {
            self.history
                .borrow_mut()
                .note(self.target, what(state), start, true);
        }
        self.look_elsewhere(&node, state.is_some());
    }

    /// Moves to the node that this one names as the leader, or to any node.
    fn look_elsewhere(&mut self, node: &Running, is_done: bool) {
        let leader = node.raft.metrics().borrow_watched().current_leader;
        let anywhere = 1 + self.rng.roll(self.nodes);
        if !is_done {
            self.target = leader.filter(|id| *id != self.target).unwrap_or(anywhere);
        } else if self.rng.once_in(20) {
            self.target = anywhere;
        }
    }
}

/// A node's view of itself, for messages.
fn view(node: &Running) -> String {
    let metrics = node.raft.metrics().borrow_watched().clone();
    format!(
        "{:?} vote {} applied {:?} of {:?}",
        metrics.state,
        metrics.vote,
        metrics.last_applied.map(|id| id.index),
        metrics.membership_config.voter_ids().collect::<Vec<_>>()
    )
}

/// The state of a node, once it is certain that nothing later was answered.
pub async fn read(node: Running, id: u64, may_be_stale: bool) -> Option<State> {
    let believes = node.raft.metrics().borrow_watched().current_leader == Some(id);
    if !(may_be_stale && believes) {
        let reads = node.raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
        reads.ok()?;
    }
    Some(node.machine.state())
}

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(300);
