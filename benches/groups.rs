//! Many logical logs (raft groups, shards, tenants): all of them in one log, compared with a log for each.
//!
//! ```sh
//! cargo bench -p tidewal-benches --bench groups
//! cargo bench -p tidewal-benches --bench groups -- --groups 1,16,256 --producers 4 --rounds 5 --seconds 2 --dir /mnt/data
//! ```
//!
//! Each group has producers that append again when they have their answer. Rounds alternate between one log
//! that all groups share and a log for each group. The output has the medians over the rounds. A wait is the
//! time of one append as its producer sees it. With a log for each group, every group has two threads and, with
//! the spare, two segments, so segments are small here. A thousand logs need more open files than many shells
//! allow (`ulimit -n`).
//!
//! `examples/groups.rs` shows how groups share a log: how each is truncated, and how they are recovered.

#![expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with three digits"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use tidewal::{Result, Wal};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Measures groups that share a log, compared with groups that have one each.
#[derive(Parser)]
#[command(
    name = "groups",
    bin_name = "cargo bench -p tidewal-benches --bench groups --"
)]
struct Args {
    /// Numbers of groups
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000])]
    groups: Vec<usize>,

    /// Producers of each group
    #[arg(long, default_value_t = 1)]
    producers: usize,

    /// Bytes of a payload
    #[arg(long, default_value_t = 100)]
    payload: usize,

    /// How often each way is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// How long each time
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,

    /// Where to write, instead of `TIDEWAL_BENCH_DIR` or target/
    #[arg(long)]
    dir: Option<PathBuf>,

    // Passed to every benchmark by cargo and test runners.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
}

fn main() {
    let mut args = Args::parse();
    if tidewal_benches::is_test() {
        (args.groups, args.rounds, args.seconds) = (vec![1, 8], 1, 0.01);
    }
    let root = args
        .dir
        .clone()
        .unwrap_or_else(tidewal_benches::scratch_root);
    println!(
        "{} producers for each group, payloads of {} bytes, {} rounds of {} s, in {}\n",
        args.producers,
        args.payload,
        args.rounds,
        args.seconds,
        root.display()
    );
    println!(
        "{:>6}  {:<8} {:>10} {:>10} {:>12} {:>10} {:>10}",
        "groups", "logs", "appends/s", "syncs/s", "appends/sync", "p50 us", "p99 us"
    );
    let runtime = Runtime::new().expect("a runtime can be made");
    for &groups in &args.groups {
        let measured = runtime.block_on(measure(&args, groups, &root));
        for (way, figures) in measured.expect("the disk works") {
            print(groups, way, &figures);
        }
    }
}

fn print(groups: usize, way: Way, rounds: &[Figures]) {
    let median = |of: fn(&Figures) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "{groups:>6}  {:<8} {:>10.0} {:>10.0} {:>12.2} {:>10.0} {:>10.0}",
        way.name(),
        median(|f| f.appends as f64 / f.seconds),
        median(|f| f.syncs as f64 / f.seconds),
        median(|f| f.appends as f64 / f.syncs.max(1) as f64),
        median(|f| f.p50_us),
        median(|f| f.p99_us),
    );
}

/// Which log a group appends to.
#[derive(Clone, Copy)]
enum Way {
    Shared,
    OneEach,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Shared => "one",
            Self::OneEach => "one each",
        }
    }
}

/// The results of one round.
#[derive(Clone, Copy)]
struct Figures {
    appends: u64,
    syncs: u64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Both ways, alternating. Each of them begins every other round.
async fn measure(args: &Args, groups: usize, root: &Path) -> Result<[(Way, Vec<Figures>); 2]> {
    let (mut shared, mut one_each) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let mut ways = [Way::Shared, Way::OneEach];
        ways.rotate_left(round % 2);
        for way in ways {
            let figures = measure_once(args, groups, way, root).await?;
            match way {
                Way::Shared => shared.push(figures),
                Way::OneEach => one_each.push(figures),
            }
        }
    }
    Ok([(Way::Shared, shared), (Way::OneEach, one_each)])
}

async fn measure_once(args: &Args, groups: usize, way: Way, root: &Path) -> Result<Figures> {
    let dir = tidewal_benches::scratch_in(root);
    let logs = match way {
        Way::Shared => vec![Wal::open(dir.path()).await?],
        Way::OneEach => {
            let open = |group: usize| {
                let options = Wal::options().segment_size(SMALL_SEGMENT);
                options.open(dir.path().join(group.to_string()))
            };
            try_join_all((0..groups).map(open)).await?
        }
    };
    // The first append opens a segment, and the spare is made after it.
    try_join_all(logs.iter().map(|wal| wal.append("opens a segment"))).await?;
    tokio::time::sleep(Duration::from_millis(if tidewal_benches::is_test() {
        1
    } else {
        500
    }))
    .await;

    let of_group = (0..groups).map(|group| logs[group % logs.len()].clone());
    let producers = of_group.flat_map(|wal| vec![wal; args.producers]).collect();
    let figures = run(producers, &logs, args).await?;
    for wal in logs {
        wal.close().await?;
    }
    Ok(figures)
}

/// Lets each producer append to its log for a while.
async fn run(producers: Vec<Wal>, logs: &[Wal], args: &Args) -> Result<Figures> {
    let syncs_before = syncs(logs);
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(args.seconds);
    let payload = Bytes::from(vec![0x5a; args.payload]);
    let mut tasks = JoinSet::new();
    for wal in producers {
        tasks.spawn(produce(wal, payload.clone(), until));
    }
    let mut waits = histogram();
    for of_one in tasks.join_all().await {
        waits += of_one?;
    }
    Ok(Figures {
        appends: waits.len(),
        syncs: syncs(logs) - syncs_before,
        seconds: started.elapsed().as_secs_f64(),
        p50_us: waits.value_at_quantile(0.5) as f64 / 1000.0,
        p99_us: waits.value_at_quantile(0.99) as f64 / 1000.0,
    })
}

async fn produce(wal: Wal, payload: Bytes, until: Instant) -> Result<Histogram<u64>> {
    let mut waits = histogram();
    loop {
        let started = Instant::now();
        if started >= until {
            return Ok(waits);
        }
        wal.append(payload.clone()).await?;
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        waits.saturating_record(nanos);
    }
}

/// From a microsecond to a minute, to two digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1000, 60_000_000_000, 2).expect("these bounds are fine")
}

fn syncs(logs: &[Wal]) -> u64 {
    logs.iter().map(|wal| wal.stats().syncs).sum()
}

/// With this size, a thousand logs with a spare each take half a gigabyte.
const SMALL_SEGMENT: u64 = 256 * 1024;
