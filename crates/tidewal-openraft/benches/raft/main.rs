//! Writes per second of a raft cluster of three nodes: openraft 0.10 with the log in a `Wal` and
//! with one in memory, and openraft 0.9 with the log in a `Wal`. Also the appends per second of
//! many raft logs in one `Wal`, compared with one.
//!
//! ```text
//! cargo bench -p tidewal-openraft --features v0_9,v0_10 --bench raft
//! cargo bench -p tidewal-openraft --features v0_9,v0_10 --bench raft -- --clients 64 --seconds 5 --dir /mnt/data
//! ```
//!
//! All nodes are in this process, their messages are function calls, and their state machines only
//! count. So this measures openraft and its log. The three logs share one disk. Each round measures
//! everything, each in a new cluster, and a bare write of one command with its sync. Without
//! `--bench`, which cargo passes, it only checks that everything works.

#![expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with three digits"
)]

mod bare;
mod groups;
mod v0_10;
mod v0_9;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;

/// A running cluster of three nodes.
trait Cluster: 'static {
    type Client: Send + Sync + 'static;

    fn client(&self) -> Self::Client;

    /// Writes a command, and waits until it is committed and applied.
    fn write(client: &Self::Client, command: Vec<u8>) -> impl Future<Output = ()> + Send;

    async fn stop(self);
}

/// Compares raft on this log with raft on a log in memory.
#[derive(Parser)]
#[command(
    name = "raft",
    bin_name = "cargo bench -p tidewal-openraft --bench raft --"
)]
struct Args {
    /// The number of concurrent clients
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
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

    /// The number of raft logs that share one `Wal`, compared with one
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    groups: Vec<u64>,

    /// The directory for the logs, instead of the one for temporary files
    #[arg(long)]
    dir: Option<PathBuf>,

    // Passed by cargo.
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
    println!(
        "| clients | log | writes/s | p50 µs | p99 µs | writes/s relative to the first | p50 relative to a bare sync |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|");
    for &clients in &args.clients {
        let mut rounds = Vec::new();
        for round in 0..args.rounds() {
            rounds.push(run_round(round, clients, &args).await);
        }
        report(clients, &rounds);
    }
    groups::run(&args).await;
}

/// The results of one log in one round.
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
}

/// The variants that are compared.
const CONTENDERS: [&str; 3] = ["0.10, in memory", "0.10, tidewal", "0.9, tidewal"];

/// The figures of each contender, and the median of bare syncs in microseconds.
struct Round {
    figures: [Figures; CONTENDERS.len()],
    bare: f64,
}

/// Measures all variants, each on a new cluster, beginning with another one in each round.
async fn run_round(round: usize, clients: usize, args: &Args) -> Round {
    let mut figures = CONTENDERS.map(|_| None);
    for nth in 0..CONTENDERS.len() {
        let nth = (nth + round) % CONTENDERS.len();
        figures[nth] = Some(run_one(nth, clients, args).await);
    }
    let dir = args.temporary_dir().expect("the directory can be written");
    Round {
        figures: figures.map(|figures| figures.expect("each had its turn")),
        bare: bare::median_sync(dir.path(), args.size, args.time() / 4),
    }
}

async fn run_one(nth: usize, clients: usize, args: &Args) -> Figures {
    let dir = args.temporary_dir().expect("the directory can be written");
    let path = |id: u64| dir.path().join(id.to_string());
    match nth {
        0 => {
            let open = |_| async { v0_10::MemoryLog::default() };
            measure(v0_10::Cluster::start(open).await, clients, args).await
        }
        1 => {
            let open = |id| {
                let log = tidewal_openraft::v0_10::RaftLog::open(path(id));
                async { log.await.expect("the log opens") }
            };
            measure(v0_10::Cluster::start(open).await, clients, args).await
        }
        _ => {
            let open = |id| {
                let log = tidewal_openraft::v0_9::RaftLog::open(path(id));
                async { log.await.expect("the log opens") }
            };
            measure(v0_9::Cluster::start(open).await, clients, args).await
        }
    }
}

/// Lets the clients write. Each sends its next command when the last one is committed.
async fn measure<C: Cluster>(cluster: C, clients: usize, args: &Args) -> Figures {
    work(&cluster, clients, args.size, args.time() / 10).await;
    let started = Instant::now();
    let latencies = work(&cluster, clients, args.size, args.time()).await;
    let figures = Figures::new(&latencies, started.elapsed());
    cluster.stop().await;
    figures
}

impl Figures {
    fn new(latencies: &Histogram<u64>, took: Duration) -> Self {
        let quantile = |quantile| latencies.value_at_quantile(quantile) as f64;
        Self {
            rate: latencies.len() as f64 / took.as_secs_f64(),
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }
}

fn report(clients: usize, rounds: &[Round]) {
    for (nth, log) in CONTENDERS.iter().enumerate() {
        let spread = |figure: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let rate = spread(&|round| round.figures[nth].rate);
        let p50 = spread(&|round| round.figures[nth].p50);
        let p99 = spread(&|round| round.figures[nth].p99);
        let by_first = spread(&|round| round.figures[nth].rate / round.figures[0].rate);
        let by_bare = spread(&|round| round.figures[nth].p50 / round.bare);
        println!(
            "| {clients} | {log} | {rate:.0} | {p50:.0} | {p99:.0} | {by_first:.2} | {by_bare:.2} |"
        );
    }
    let bare = Spread::of(rounds.iter().map(|round| round.bare));
    println!("| | a bare sync | | {bare:.0} | | | 1 |");
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

async fn work<C: Cluster>(
    cluster: &C,
    clients: usize,
    size: usize,
    time: Duration,
) -> Histogram<u64> {
    let until = Instant::now() + time;
    let workers: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(write::<C>(cluster.client(), size, until)))
        .collect();
    let mut all = histogram();
    for worker in workers {
        let one = worker.await.expect("the client works");
        all.add(one).expect("the histograms are alike");
    }
    all
}

async fn write<C: Cluster>(client: C::Client, size: usize, until: Instant) -> Histogram<u64> {
    let mut latencies = histogram();
    while Instant::now() < until {
        let started = Instant::now();
        C::write(&client, vec![7; size]).await;
        record(&mut latencies, started);
    }
    latencies
}

fn record(latencies: &mut Histogram<u64>, started: Instant) {
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    latencies.saturating_record(micros);
}

/// Of microseconds up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}
