//! A replicated key-value service over HTTP: openraft, with its log in a tidewal `Wal`.
//!
//! ```text
//! cargo build --release -p raft-kv
//! for i in 1 2 3; do
//!     target/release/raft-kv --new --id $i --dir data/$i --listen 127.0.0.1:808$i &
//! done
//! curl -X POST http://127.0.0.1:8081/init \
//!     --data '{"1": "127.0.0.1:8081", "2": "127.0.0.1:8082", "3": "127.0.0.1:8083"}'
//! curl -X PUT http://127.0.0.1:8081/kv/answer --data-binary 42  # 200 once it is committed, or
//! curl        http://127.0.0.1:8081/kv/answer                   # 421 and who leads: ask there
//!
//! target/release/raft-kv --new --id 4 --dir data/4 --listen 127.0.0.1:8084 &
//! curl -X POST http://127.0.0.1:8081/join --data '{"id": 4, "addr": "127.0.0.1:8084"}'
//! curl        http://127.0.0.1:8081/metrics
//! ```
//!
//! A write is answered when a majority has it on disk and the leader has applied it. A read is
//! linearizable: the leader confirms that it still leads before it answers. Any node can be killed
//! at any moment and started again on its directory.
//!
//! `--new` is for the first start of a node. Without it, a node without a log does not start: its
//! volume may not be mounted, and a node that begins anew may vote twice in one term.
//!
//! A node whose raft has ended, because its disk is full or fails, prints the reason and exits.
//!
//! `machine.rs` is the state machine, `snapshot_file.rs` its snapshots, `network.rs` the messages
//! between nodes, `service.rs` the HTTP interface. There is no authentication and no encryption.

mod machine;
mod network;
mod service;
mod snapshot_file;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use serde::{Deserialize, Serialize};
use tidewal::Wal;
use tidewal_openraft::RaftLogOptions;
use tidewal_openraft::v0_10::RaftLog;
use tokio::net::TcpListener;

use crate::machine::Machine;
use crate::network::Network;
use crate::service::{MAX_KEY, Service};

openraft::declare_raft_types!(
    /// The types of this service.
    pub Types: D = Command, R = ()
);

/// A node.
pub type Raft = openraft::Raft<Types, Machine>;

/// The content of an entry of the raft log.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Command {
    /// Sets a key.
    Put { key: String, value: String },
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Put { key, value } = self;
        write!(f, "put {key}, {} bytes", value.len())
    }
}

/// One node of a replicated key-value service.
#[derive(Parser)]
struct Args {
    /// The node's id in the cluster, which never changes
    #[arg(long)]
    id: u64,

    /// The directory of its log and its snapshot
    #[arg(long)]
    dir: PathBuf,

    /// The node is new: create its directory and its log. Not for a node that has lost its log, which
    /// must be replaced by a node with a new id
    #[arg(long)]
    new: bool,

    /// The address on which it listens and at which the others find it. The port must stay the same
    #[arg(long)]
    listen: String,

    /// The number of entries between two snapshots
    #[arg(long, default_value_t = 10_000)]
    snapshot_every: u64,

    /// The size of the log's segments, in bytes
    #[arg(long, default_value_t = 64 * 1024 * 1024)]
    segment_size: u64,

    /// The largest value that a client can write, in bytes
    #[arg(long, default_value_t = 1024 * 1024)]
    max_value: u64,
}

impl Args {
    /// Checks that the largest command fits into a segment of the log.
    fn check(&self) -> Result<(), String> {
        let largest = self.max_value + MAX_KEY as u64 + OVERHEAD;
        if largest > self.segment_size {
            return Err(format!(
                "values of {} bytes do not fit into segments of {}: lower --max-value",
                self.max_value, self.segment_size
            ));
        }
        Ok(())
    }
}

/// The most bytes that an entry and a segment take in addition to a key and a value.
const OVERHEAD: u64 = 8 * 1024;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raft-kv: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    args.check()?;
    let max_value = usize::try_from(args.max_value)?;
    // Bound before the log is read and served after it, so a node without its log answers no request.
    let listener = TcpListener::bind(&args.listen).await?;
    let log = open_log(&args).await?;
    let machine = Machine::open(&args.dir)?;
    let config = Arc::new(config(args.snapshot_every).validate()?);
    let raft = Raft::new(args.id, config, Network::new()?, log, machine.clone()).await?;

    println!("listening on {}", listener.local_addr()?);
    let service = Service::new(args.id, raft.clone(), machine);
    let serve = axum::serve(listener, service.routes(max_value));
    tokio::select! {
        served = serve.with_graceful_shutdown(interrupt()) => served?,
        why = ended(&raft) => return Err(why.into()),
    }
    raft.shutdown().await?;
    Ok(())
}

/// Opens the log of the node, or creates that of a new node.
async fn open_log(args: &Args) -> Result<RaftLog<Types>, Box<dyn Error>> {
    let dir = args.dir.join("log");
    let options = Wal::options().segment_size(args.segment_size).create(false);
    let recovery = match (options.clone().recover(&dir).await, args.new) {
        (Ok(recovery), false) => recovery,
        (Ok(_), true) => {
            let dir = dir.display();
            return Err(format!("there is a log in {dir}: start this node without --new").into());
        }
        (Err(tidewal::Error::NoLog { .. }), true) => {
            snapshot_file::create_dir(&args.dir)?;
            options.create(true).recover(&dir).await?
        }
        (Err(error @ tidewal::Error::NoLog { .. }), false) => {
            return Err(format!("{error}. Is its volume mounted? A new node needs --new").into());
        }
        (Err(error), _) => return Err(error.into()),
    };
    Ok(RaftLog::recover(recovery, &RaftLogOptions::new()).await?)
}

/// Waits until the raft has ended by itself. From then on it answers every request with an error, and
/// only a new process starts it again.
async fn ended(raft: &Raft) -> String {
    let mut metrics = raft.metrics();
    loop {
        if let Err(why) = &metrics.borrow_watched().running_state {
            return format!("this node has ended: {why}");
        }
        if metrics.changed().await.is_err() {
            return "this node has ended".into();
        }
    }
}

fn config(snapshot_every: u64) -> Config {
    Config {
        heartbeat_interval: 150,
        election_timeout_min: 600,
        election_timeout_max: 1200,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_every),
        // For followers that lag a little. Followers that lag more get a snapshot.
        max_in_snapshot_log_to_keep: snapshot_every / 10,
        // The committed log id is synced a little later than the entries, so a restarted leader may
        // have lost it. An elected leader knows it before it answers a read.
        enable_leader_restore: Some(false),
        ..Config::default()
    }
}

async fn interrupt() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("raft-kv: no ctrl-c: {error}");
        std::future::pending::<()>().await;
    }
}
