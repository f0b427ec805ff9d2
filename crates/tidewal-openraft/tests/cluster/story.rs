//! A cluster, its clients, and what happens to it, all decided by one seed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::{join, join_all};
use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{BasicNode, ServerState};
use tidewal::sim::Survival;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, read};
use crate::history::{Call, History};
use crate::machine::{Done, State};
use crate::network::Network;
use crate::node::{Node, Running};
use crate::planted::Planted;
use crate::rng::Rng;
use crate::runtime::{self, Moment};

/// Counts of events in all runs.
#[derive(Debug, Default)]
pub struct Seen {
    pub calls: u64,
    pub answered: u64,
    pub kills: u64,
    pub cuts: u64,
    pub pauses: u64,
    pub partitions: u64,
    pub elections: u64,
    pub full: u64,
    pub slow: u64,
    /// Snapshots that were requested, and those that were installed.
    pub snapshots: u64,
    pub installs: u64,
    /// Nodes that ended while they installed a snapshot.
    pub installs_cut: u64,
    /// Membership changes that succeeded.
    pub memberships: u64,
}

struct Story {
    rng: Rng,
    network: Network,
    nodes: Vec<Node>,
    paused: Vec<u64>,
    seen: Seen,
    done: Arc<Done>,
}

/// Runs a cluster. An error says what went wrong.
pub async fn tell(seed: u64, planted: Option<Planted>) -> Result<(Seen, History), String> {
    runtime::begin(seed);
    let mut rng = Rng::new(seed);
    let count = 3 + rng.roll(3);
    let done = Arc::new(Done::default());
    let mut node = |id| {
        let rate = 970 + u32::try_from(rng.roll(60)).unwrap();
        Node::new(id, seed, rate, planted, done.clone())
    };
    let mut story = Story {
        nodes: (1..=count).map(&mut node).collect(),
        network: Network::new(seed),
        paused: Vec::new(),
        seen: Seen::default(),
        done: done.clone(),
        rng,
    };
    story.begin().await?;
    let history = Rc::new(RefCell::new(History::default()));
    let until = Instant::now() + Duration::from_millis(2500);
    let clients = story.clients(seed, planted, &history);
    let work = join_all(clients.into_iter().map(|client| client.work(until)));
    let (lived, _) = join(story.live(until), work).await;
    lived?;
    let last = story.end().await?;
    let history = Rc::try_unwrap(history)
        .expect("the clients are gone")
        .into_inner();
    history.check(&last)?;
    story.seen.installs = done.installs.load(Relaxed);
    story.seen.installs_cut = done.installs_cut.load(Relaxed);
    story.seen.memberships = done.memberships.load(Relaxed);
    story.seen.calls = history.calls().len() as u64;
    let answered = history
        .calls()
        .iter()
        .filter(|call: &&Call| call.end.is_some());
    story.seen.answered = answered.count() as u64;
    Ok((story.seen, history))
}

impl Story {
    async fn begin(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            node.start(&self.network).await?;
        }
        let members = self
            .nodes
            .iter()
            .map(|node| (node.id, BasicNode::default()));
        let members: BTreeMap<_, _> = members.collect();
        let first = self.network.running(1).expect("it was started");
        let initialized = first.raft.initialize(members).await;
        initialized.map_err(|error| format!("{error:?}"))
    }

    fn clients(
        &self,
        seed: u64,
        planted: Option<Planted>,
        history: &Rc<RefCell<History>>,
    ) -> Vec<Client> {
        let values = Rc::new(Cell::new(0));
        let client = |number| Client {
            network: self.network.clone(),
            nodes: self.nodes.len() as u64,
            rng: Rng::new(seed * 100 + number),
            history: history.clone(),
            values: values.clone(),
            planted,
            target: 1,
        };
        (1..=4).map(client).collect()
    }

    async fn live(&mut self, until: Instant) -> Result<(), String> {
        while Instant::now() < until {
            let pause = 20 + self.rng.roll(200);
            sleep(Duration::from_millis(pause)).await;
            self.strike().await?;
            self.look_after_the_dead().await?;
        }
        Ok(())
    }

    /// Makes something happen to a node or to the network.
    async fn strike(&mut self) -> Result<(), String> {
        let nth = usize::try_from(self.rng.roll(self.nodes.len() as u64)).unwrap();
        let what = self.rng.roll(16);
        trace(|| format!("strike {what} at node {}", nth + 1));
        match what {
            0 => {
                self.seen.kills += 1;
                self.nodes[nth].kill(&self.network).await;
            }
            1 | 2 => self.cut(nth).await,
            3 => {
                let node = &mut self.nodes[nth];
                let after = node.disk.operations() + self.rng.roll(40);
                node.disk.cut_power_at(after);
                node.may_end = true;
            }
            4 | 5 => self.pause(nth),
            6 => self.resume(),
            7 => {
                self.seen.partitions += 1;
                let ids = (1..=self.nodes.len() as u64).filter(|_| self.rng.once_in(2));
                self.network.partition(ids.collect());
            }
            8 => self
                .network
                .disturb(2 + self.rng.roll(20), 100 + self.rng.roll(60_000)),
            9 => self.network.heal(),
            10 => self.fill_the_disk(nth),
            11 => self.slow_the_disk(nth),
            12 => self.interrupt_an_election().await?,
            13 => self.interrupt_an_install(nth).await,
            _ => self.ask_the_leader(nth),
        }
        Ok(())
    }

    async fn cut(&mut self, nth: usize) {
        self.seen.cuts += 1;
        let survival = match self.rng.once_in(2) {
            true => Survival::Nothing,
            false => Survival::Random,
        };
        self.nodes[nth].cut_power(&self.network, survival).await;
    }

    fn pause(&mut self, nth: usize) {
        let id = self.nodes[nth].id;
        if let Some(running) = self.network.running(id) {
            self.seen.pauses += 1;
            running.process.pause();
            self.paused.push(id);
        }
    }

    fn resume(&mut self) {
        for id in self.paused.drain(..) {
            if let Some(running) = self.network.running(id) {
                running.process.resume();
            }
        }
    }

    /// Separates a new leader from the others, all of which lose power as soon as it is elected. If
    /// they forget their votes, they can elect another leader of the same term.
    async fn interrupt_an_election(&mut self) -> Result<(), String> {
        let old = self.leaders();
        self.network.partition(old.clone());
        // So that the votes arrive long before the first entry of the new leader.
        self.network.disturb(0, 40_000);
        for _ in 0..600 {
            sleep(Duration::from_millis(1)).await;
            let new: BTreeSet<_> = self.leaders().difference(&old).copied().collect();
            if !new.is_empty() {
                self.seen.elections += 1;
                self.network.heal();
                self.network.partition(new.clone());
                for nth in 0..self.nodes.len() {
                    if !new.contains(&self.nodes[nth].id) {
                        self.start(nth, true).await?;
                    }
                }
                sleep(Duration::from_secs(1)).await;
                break;
            }
        }
        self.network.heal();
        Ok(())
    }

    /// Lets a node fall behind, so that it lacks entries that the others have purged, and ends it
    /// while it installs their snapshot.
    async fn interrupt_an_install(&mut self, nth: usize) {
        let id = self.nodes[nth].id;
        if self.network.running(id).is_none() {
            return;
        }
        self.resume();
        self.network.heal();
        self.network.partition(BTreeSet::from([id]));
        sleep(Duration::from_millis(500 + self.rng.roll(500))).await;
        let sync_time = Duration::from_millis(2 + self.rng.roll(10));
        self.nodes[nth].disk.set_sync_time(sync_time);
        self.network.heal();
        // A leader waits for half a second before it tries a node again.
        for _ in 0..1000 {
            sleep(Duration::from_millis(1)).await;
            let Some(running) = self.network.running(id) else {
                break;
            };
            if running.machine.is_installing() {
                match self.rng.once_in(2) {
                    true => self.nodes[nth].kill(&self.network).await,
                    false => self.cut(nth).await,
                }
            }
        }
        self.nodes[nth].disk.set_sync_time(Duration::ZERO);
    }

    /// The nodes that believe that they lead.
    fn leaders(&self) -> BTreeSet<u64> {
        let ids = self.nodes.iter().map(|node| node.id);
        let leads = |id: &u64| {
            let running = self.network.running(*id);
            running.is_some_and(|running| {
                running.raft.metrics().borrow_watched().state == ServerState::Leader
            })
        };
        ids.filter(leads).collect()
    }

    fn fill_the_disk(&mut self, nth: usize) {
        self.seen.full += 1;
        let room = self.rng.roll(20_000);
        let node = &mut self.nodes[nth];
        node.disk.set_quota(Some(node.used() + room));
        node.may_end = true;
    }

    fn slow_the_disk(&mut self, nth: usize) {
        self.seen.slow += 1;
        let disk = &self.nodes[nth].disk;
        match self.rng.once_in(2) {
            true => disk.set_sync_time(Duration::from_micros(self.rng.roll(15_000))),
            false => disk.stall(self.rng.roll(3), Duration::from_millis(self.rng.roll(900))),
        }
    }

    /// Makes the leader build a snapshot or change the members.
    fn ask_the_leader(&mut self, nth: usize) {
        let Some(running) = self.network.running(self.nodes[nth].id) else {
            return;
        };
        if self.rng.once_in(3) {
            self.seen.snapshots += 1;
            let trigger = async move { running.raft.trigger().snapshot().await.is_ok() };
            drop(running.process.spawn(trigger));
            return;
        }
        let leader = running.raft.metrics().borrow_watched().current_leader;
        let Some(leader) = leader.and_then(|id| self.network.running(id)) else {
            return;
        };
        let mut voters: BTreeSet<_> = (1..=self.nodes.len() as u64).collect();
        if self.rng.once_in(2) {
            voters.remove(&(1 + self.rng.roll(self.nodes.len() as u64)));
        }
        let raft = leader.raft.clone();
        let done = self.done.clone();
        let change = async move {
            let changed = raft.change_membership(voters, true).await;
            let is_changed = u64::from(changed.is_ok());
            done.memberships.fetch_add(is_changed, Relaxed);
        };
        drop(leader.process.spawn(change));
    }

    /// Restarts nodes that are down. A raft that has ended although its disk works is an error.
    async fn look_after_the_dead(&mut self) -> Result<(), String> {
        for nth in 0..self.nodes.len() {
            let is_off = self.nodes[nth].disk.is_off();
            if let Some(running) = self.network.running(self.nodes[nth].id) {
                let state = running
                    .raft
                    .metrics()
                    .borrow_watched()
                    .running_state
                    .clone();
                match state {
                    Ok(()) if !is_off => continue,
                    Err(error) if !self.nodes[nth].may_end => {
                        return Err(format!("node {} has ended: {error:?}", nth + 1));
                    }
                    _ => {}
                }
            } else if self.rng.once_in(2) {
                continue;
            }
            self.start(nth, is_off).await?;
        }
        Ok(())
    }

    async fn start(&mut self, nth: usize, is_off: bool) -> Result<(), String> {
        let node = &mut self.nodes[nth];
        match is_off {
            true => node.cut_power(&self.network, Survival::Random).await,
            false => node.kill(&self.network).await,
        }
        let started = node.start(&self.network).await;
        started.map_err(|error| format!("node {} does not start: {error}", nth + 1))
    }

    /// Lets everything work again: the cluster must answer, and all nodes must reach the same
    /// state.
    async fn end(&mut self) -> Result<State, String> {
        self.network.heal();
        self.resume();
        for nth in 0..self.nodes.len() {
            let node = &mut self.nodes[nth];
            let has_ended = self.network.running(node.id).is_none_or(|running| {
                running
                    .raft
                    .metrics()
                    .borrow_watched()
                    .running_state
                    .is_err()
            });
            if has_ended || node.may_end {
                let is_off = node.disk.is_off();
                self.start(nth, is_off).await?;
            }
            self.nodes[nth].disk.set_sync_time(Duration::ZERO);
        }
        let state = self.final_state().await.ok_or("no node answers")?;
        for nth in 0..self.nodes.len() {
            self.agrees(nth, &state).await?;
        }
        Ok(state)
    }

    async fn final_state(&self) -> Option<State> {
        for round in 0..200 {
            let id = 1 + round % self.nodes.len() as u64;
            let running = self.network.running(id)?;
            let read = running.process.spawn(read(running.clone(), id, false));
            let answer = timeout(Duration::from_millis(500), read).await;
            if let Some(state) = answer.ok().and_then(Result::ok).flatten() {
                return Some(state);
            }
            sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Waits until a node, if it is a member, has reached `state`, and compares.
    async fn agrees(&self, nth: usize, state: &State) -> Result<(), String> {
        let Some(Running { machine, .. }) = self.network.running(self.nodes[nth].id) else {
            return Err(format!("node {} is down", nth + 1));
        };
        for _ in 0..200 {
            let now = machine.state();
            if now.applied >= state.applied {
                let agrees = now.applied > state.applied || now == *state;
                let differ = || format!("node {}: {now:?}, and elsewhere {state:?}", nth + 1);
                return agrees.then_some(()).ok_or_else(differ);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(format!("node {} does not catch up", nth + 1))
    }
}

/// Prints events, if requested.
pub fn trace(what: impl FnOnce() -> String) {
    if std::env::var_os("TIDEWAL_TRACE").is_some() {
        println!("{:?}: {}", Moment::now(), what());
    }
}
