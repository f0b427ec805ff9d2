//! Writes per second of a raft cluster of three nodes, with the log in a `Wal` and with one in memory.
//!
//! ```text
//! cargo bench --features openraft --bench raft
//! cargo bench --features openraft --bench raft -- --clients 64 --seconds 5 --dir /mnt/data
//! ```
//!
//! All nodes are in this process, their messages are function calls, and their state machines only
//! count: what is left is openraft and its log. The three logs share one disk. Without `--bench`, which
//! cargo passes, it only sees that everything works.

mod cluster;
mod memory_log;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use tidewal::openraft::RaftLog;

use crate::cluster::{Cluster, Types};
use crate::memory_log::MemoryLog;

/// Measures raft on this log beside raft on a log in memory.
#[derive(Parser)]
#[command(
    name = "raft",
    bin_name = "cargo bench --features openraft --bench raft --"
)]
struct Args {
    /// How many clients write at once
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    clients: Vec<usize>,

    /// How long each case is measured, in seconds [default: 3, without --bench: 0.1]
    #[arg(long)]
    seconds: Option<f64>,

    /// Bytes of a command
    #[arg(long, default_value_t = 100)]
    size: usize,

    /// Where the logs go, if not to the directory for temporary files
    #[arg(long)]
    dir: Option<PathBuf>,

    // What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn time(&self) -> Duration {
        let default = if self.bench { 3.0 } else { 0.1 };
        Duration::from_secs_f64(self.seconds.unwrap_or(default))
    }

    fn temporary_dir(&self) -> std::io::Result<tempfile::TempDir> {
        match &self.dir {
            Some(dir) => tempfile::tempdir_in(dir),
            None => tempfile::tempdir(),
        }
    }
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    println!(
        "three nodes in one process, commands of {} bytes",
        args.size
    );
    println!("| log | clients | writes/s | p50 µs | p99 µs |");
    println!("|---|---:|---:|---:|---:|");
    for clients in &args.clients {
        let cluster = Cluster::start(|_| async { MemoryLog::default() }).await;
        measure("memory", &cluster, *clients, &args).await;
        cluster.stop().await;

        let dir = args.temporary_dir().expect("the directory can be written");
        let cluster = Cluster::start(|id| {
            let dir = dir.path().join(id.to_string());
            async move { RaftLog::<Types>::open(dir).await.expect("the log opens") }
        })
        .await;
        measure("tidewal", &cluster, *clients, &args).await;
        cluster.stop().await;
    }
}

/// Lets the clients write, each its next command when the last one is committed.
async fn measure(log: &str, cluster: &Cluster, clients: usize, args: &Args) {
    let warm_up = args.time() / 10;
    work(cluster, clients, args.size, warm_up).await;
    let started = Instant::now();
    let latencies = work(cluster, clients, args.size, args.time()).await;
    let rate = u128::from(latencies.len()) * 1_000_000 / started.elapsed().as_micros();
    let quantile = |quantile| latencies.value_at_quantile(quantile);
    println!(
        "| {log} | {clients} | {rate} | {} | {} |",
        quantile(0.5),
        quantile(0.99)
    );
}

async fn work(cluster: &Cluster, clients: usize, size: usize, time: Duration) -> Histogram<u64> {
    let until = Instant::now() + time;
    let workers: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(write(cluster.leader().clone(), size, until)))
        .collect();
    let mut all = histogram();
    for worker in workers {
        let one = worker.await.expect("the client works");
        all.add(one).expect("the histograms are alike");
    }
    all
}

async fn write(leader: openraft::Raft<Types>, size: usize, until: Instant) -> Histogram<u64> {
    let mut latencies = histogram();
    while Instant::now() < until {
        let started = Instant::now();
        let outcome = leader.client_write(vec![7; size]).await;
        outcome.expect("the write is committed");
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        latencies.saturating_record(micros);
    }
    latencies
}

/// Of microseconds up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}
