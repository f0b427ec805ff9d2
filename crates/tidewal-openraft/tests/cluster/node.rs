//! A node: a process, its disk, and the raft that runs in it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use openraft::{Config, SnapshotPolicy};
use tidewal::sim::{SimDisk, Survival};
use tidewal_openraft::RaftLogOptions;
use tidewal_openraft::v0_10::RaftLog;

use crate::machine::{Done, Machine, Raft};
use crate::network::{Attached, Network};
use crate::planted::{Planted, Store};
use crate::runtime::Process;
use crate::support::options;

pub struct Node {
    pub id: u64,
    pub disk: SimDisk,
    rate: u32,
    planted: Option<Planted>,
    /// Its disk was made to fail, so the raft may have ended.
    pub may_end: bool,
    done: Arc<Done>,
}

#[derive(Clone)]
pub struct Running {
    pub process: Process,
    pub raft: Raft,
    pub machine: Machine,
}

impl Node {
    pub fn new(id: u64, seed: u64, rate: u32, planted: Option<Planted>, done: Arc<Done>) -> Self {
        Self {
            id,
            disk: SimDisk::new(seed.wrapping_mul(10).wrapping_add(id)),
            rate,
            planted,
            may_end: false,
            done,
        }
    }

    /// Starts the process.
    pub async fn start(&mut self, network: &Network) -> Result<(), String> {
        let process = Process::new(self.rate);
        let machine = Machine::open(&self.disk, self.planted, self.done.clone()).await;
        let machine = machine.map_err(|error| format!("{error:?}"))?;
        let opening = self.open(network, machine.clone());
        let raft = process.within(opening).await?;
        let running = Running {
            process,
            raft,
            machine,
        };
        network.connect(self.id, running);
        Ok(())
    }

    async fn open(&self, network: &Network, machine: Machine) -> Result<Raft, String> {
        let recovery = options().spare_segments(1).recover_on(&self.disk, "log");
        let recovery = recovery.await.map_err(|error| format!("{error:?}"))?;
        let log = RaftLog::recover(recovery, &RaftLogOptions::new()).await;
        let store = Store {
            log: log.map_err(|error| format!("{error:?}"))?,
            planted: self.planted,
            unsynced: None,
        };
        let attached = Attached(network.clone(), self.id);
        let raft = Raft::new(self.id, config(self.planted), attached, store, machine).await;
        raft.map_err(|error| format!("{error:?}"))
    }

    /// The bytes of its files.
    pub fn used(&self) -> u64 {
        let files = |dir: &str| {
            let paths = self
                .disk
                .files(dir)
                .into_iter()
                .map(move |name| format!("{dir}/{name}"));
            paths.collect::<Vec<_>>()
        };
        let paths = files("log").into_iter().chain(files("snapshots"));
        let sizes = paths.filter_map(|path| self.disk.read(path));
        sizes.map(|bytes| bytes.len() as u64).sum()
    }

    /// Kills the process. Everything that it had not written is lost.
    pub async fn kill(&mut self, network: &Network) {
        self.end(network).await;
        self.disk.kill();
    }

    /// Cuts the power of the machine. Some or all unsynced changes are lost.
    pub async fn cut_power(&mut self, network: &Network, survival: Survival) {
        self.disk.cut_power();
        self.end(network).await;
        self.disk.restart(survival);
    }

    async fn end(&mut self, network: &Network) {
        if let Some(running) = network.disconnect(self.id) {
            let is_cut = u64::from(running.machine.is_installing());
            self.done.installs_cut.fetch_add(is_cut, Relaxed);
            running.process.resume();
            running.process.kill();
        }
        // The tasks end when they are polled next.
        tokio::task::yield_now().await;
        self.disk.set_quota(None);
        self.disk.clear_faults();
        self.may_end = false;
    }
}

fn config(planted: Option<Planted>) -> Arc<Config> {
    let config = Config {
        heartbeat_interval: 40,
        election_timeout_min: 150,
        election_timeout_max: 300,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(25),
        max_in_snapshot_log_to_keep: 5,
        purge_batch_size: 1,
        max_payload_entries: 16,
        enable_leader_restore: Some(planted == Some(Planted::LeaderRestored)),
        ..Config::default()
    };
    Arc::new(config.validate().expect("the configuration is valid"))
}
