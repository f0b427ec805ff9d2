//! Writes per second of a raft cluster of three nodes, with the log in a `Wal` and with one in memory.
//!
//! ```text
//! cargo bench -p tidewal-openraft --bench raft
//! cargo bench -p tidewal-openraft --bench raft -- --clients 64 --seconds 5 --dir /mnt/data
//! ```
//!
//! All nodes are in this process, their messages are function calls, and their state machines only
//! count: what is left is openraft and its log. The three logs share one disk. In each round both logs
//! are measured, each in a new cluster. Without `--bench`, which cargo passes, it only sees that
//! everything works.

#![expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with three digits"
)]

mod cluster;
mod memory_log;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use tidewal_openraft::RaftLog;

use crate::cluster::{Cluster, Types};
use crate::memory_log::MemoryLog;

/// Measures raft on this log beside raft on a log in memory.
#[derive(Parser)]
#[command(
    name = "raft",
    bin_name = "cargo bench -p tidewal-openraft --bench raft --"
)]
struct Args {
    /// How many clients write at once
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    clients: Vec<usize>,

    /// How long each case is measured, in seconds [default: 1, without --bench: 0.1]
    #[arg(long)]
    seconds: Option<f64>,

    /// How often each case is measured [default: 5, without --bench: 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,

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
        let default = if self.bench { 1.0 } else { 0.1 };
        Duration::from_secs_f64(self.seconds.unwrap_or(default))
    }

    fn rounds(&self) -> usize {
        let rounds = self
            .rounds
            .map(|rounds| usize::try_from(rounds).unwrap_or(usize::MAX));
        rounds.unwrap_or(if self.bench { 5 } else { 1 })
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
        "three nodes in one process, commands of {} bytes; {} rounds of {:?}; medians (smallest..largest)",
        args.size,
        args.rounds(),
        args.time()
    );
    println!("| clients | log | writes/s | p50 µs | p99 µs | writes/s by those in memory |");
    println!("|---:|---|---:|---:|---:|---:|");
    for &clients in &args.clients {
        let mut rounds = Vec::new();
        for round in 0..args.rounds() {
            rounds.push(run_round(round, clients, &args).await);
        }
        report(clients, &rounds);
    }
}

/// What one log did in one round.
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
}

struct Round {
    memory: Figures,
    tidewal: Figures,
}

/// Measures both logs, each on a new cluster, in an order that turns.
async fn run_round(round: usize, clients: usize, args: &Args) -> Round {
    if round.is_multiple_of(2) {
        let memory = in_memory(clients, args).await;
        let tidewal = in_wal(clients, args).await;
        Round { memory, tidewal }
    } else {
        let tidewal = in_wal(clients, args).await;
        let memory = in_memory(clients, args).await;
        Round { memory, tidewal }
    }
}

async fn in_memory(clients: usize, args: &Args) -> Figures {
    let cluster = Cluster::start(|_| async { MemoryLog::default() }).await;
    let figures = measure(&cluster, clients, args).await;
    cluster.stop().await;
    figures
}

async fn in_wal(clients: usize, args: &Args) -> Figures {
    let dir = args.temporary_dir().expect("the directory can be written");
    let cluster = Cluster::start(|id| {
        let dir = dir.path().join(id.to_string());
        async move { RaftLog::<Types>::open(dir).await.expect("the log opens") }
    })
    .await;
    let figures = measure(&cluster, clients, args).await;
    cluster.stop().await;
    figures
}

/// Lets the clients write, each its next command when the last one is committed.
async fn measure(cluster: &Cluster, clients: usize, args: &Args) -> Figures {
    work(cluster, clients, args.size, args.time() / 10).await;
    let started = Instant::now();
    let latencies = work(cluster, clients, args.size, args.time()).await;
    let quantile = |quantile| latencies.value_at_quantile(quantile) as f64;
    Figures {
        rate: latencies.len() as f64 / started.elapsed().as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
    }
}

fn report(clients: usize, rounds: &[Round]) {
    let row = |log, figures: fn(&Round) -> &Figures, ratio: String| {
        let spread = |figure: fn(&Figures) -> f64| {
            Spread::of(rounds.iter().map(|round| figure(figures(round))))
        };
        let [rate, p50, p99] = [
            spread(|figures| figures.rate),
            spread(|figures| figures.p50),
            spread(|figures| figures.p99),
        ];
        println!("| {clients} | {log} | {rate:.0} | {p50:.0} | {p99:.0} | {ratio} |");
    };
    let ratio = rounds
        .iter()
        .map(|round| round.tidewal.rate / round.memory.rate);
    row("memory", |round| &round.memory, String::new());
    row(
        "tidewal",
        |round| &round.tidewal,
        format!("{:.2} x", Spread::of(ratio)),
    );
}

/// The median of some figures, the smallest and the largest.
struct Spread {
    median: f64,
    smallest: f64,
    largest: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: sorted[sorted.len() / 2],
            smallest: sorted[0],
            largest: sorted[sorted.len() - 1],
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(
            f,
            "{:.digits$} ({:.digits$}..{:.digits$})",
            self.median, self.smallest, self.largest
        )
    }
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
