//! What followers cost, how far they are behind, and how fast one catches up.
//!
//!     cargo bench -p tidewal-benches --bench follow -- [--rounds N] [--seconds N] [--mib N]
//!
//! *Cost and lag:* each round runs the same load with 0, 1 and 10 followers that keep up, each on a fresh
//! log, in an order that turns from round to round. 1,024 producers append records of 100 bytes. Reported
//! are appends per second and their ratio to the run without followers of the same round, the time of an
//! append, how far a follower was behind the acknowledgment of the same record (negative where it was
//! earlier), and the bytes in memory for all followers: medians over the rounds.
//!
//! *Catching up:* a log of N MiB is read from its beginning by a follower, and by a bare loop of 1 MiB reads
//! over the same files, in turns. Then once more while 64 producers append: reported is the p99 of their
//! appends with and without the follower.
//!
//! `TIDEWAL_BENCH_DIR` says on which disk, if not on that of `target/`.

#[allow(dead_code, reason = "criterion is not used here")]
mod support;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use support::{MIB, is_test, scratch};
use tidewal::{Lsn, Wal};
use tokio::task::JoinHandle;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let scale = Scale::from_args();
    runtime.block_on(async {
        cost_and_lag(&scale).await;
        catching_up(&scale).await;
    });
}

struct Scale {
    rounds: usize,
    slice: Duration,
    mib: u64,
}

impl Scale {
    fn from_args() -> Self {
        if is_test() {
            return Self {
                rounds: 1,
                slice: Duration::from_millis(200),
                mib: 8,
            };
        }
        Self {
            rounds: usize::try_from(number("--rounds", 7)).expect("few rounds"),
            slice: Duration::from_secs(number("--seconds", 3)),
            mib: number("--mib", 2048),
        }
    }
}

/// The number behind a flag of the command line.
fn number(flag: &str, otherwise: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != flag);
    arguments.nth(1).map_or(otherwise, |number| {
        number.parse().expect("a flag is followed by a number")
    })
}

const FOLLOWERS: [usize; 3] = [0, 1, 10];
const PRODUCERS: usize = 1024;

/// What one run came to. Times are in microseconds.
#[derive(Clone, Copy, Default)]
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    lag_p50: f64,
    lag_p99: f64,
    memory: f64,
}

async fn cost_and_lag(scale: &Scale) {
    let mut rounds = Vec::new();
    for round in 0..scale.rounds {
        let mut figures = [Figures::default(); FOLLOWERS.len()];
        for turn in 0..FOLLOWERS.len() {
            let index = (turn + round) % FOLLOWERS.len();
            figures[index] = run_once(scale, FOLLOWERS[index]).await;
        }
        rounds.push(figures);
    }
    println!(
        "{PRODUCERS} producers of 100 bytes, medians of {} rounds",
        rounds.len()
    );
    println!("followers | appends/s | to none | append p50, p99 us | behind p50, p99 us | memory");
    for (index, followers) in FOLLOWERS.iter().enumerate() {
        let of = |value: &dyn Fn(&[Figures; FOLLOWERS.len()]) -> f64| {
            median(rounds.iter().map(value).collect())
        };
        println!(
            "{followers:9} | {:9.0} | {:7.3} | {:8.0} {:9.0} | {:8.0} {:9.0} | {:4.1} MiB",
            of(&|round| round[index].per_second),
            of(&|round| round[index].per_second / round[0].per_second),
            of(&|round| round[index].p50),
            of(&|round| round[index].p99),
            of(&|round| round[index].lag_p50),
            of(&|round| round[index].lag_p99),
            of(&|round| round[index].memory),
        );
    }
}

/// When records were acknowledged and when they came, one in [`SAMPLED`], by their LSN.
struct Times {
    start: Instant,
    acknowledged: Vec<AtomicI64>,
}

const SAMPLED: u64 = 8;

impl Times {
    fn new() -> Arc<Self> {
        let acknowledged = (0..8_000_000).map(|_| AtomicI64::new(0)).collect();
        Arc::new(Self {
            start: Instant::now(),
            acknowledged,
        })
    }

    fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).expect("a short run")
    }

    fn of(&self, lsn: Lsn) -> Option<&AtomicI64> {
        let index = lsn
            .get()
            .is_multiple_of(SAMPLED)
            .then_some(lsn.get() / SAMPLED)?;
        self.acknowledged.get(usize::try_from(index).ok()?)
    }
}

async fn run_once(scale: &Scale, followers: usize) -> Figures {
    let dir = scratch();
    let wal = Wal::open(dir.path()).await.expect("a log can be opened");
    let times = Times::new();
    let followers: Vec<_> = (0..followers)
        .map(|_| tokio::spawn(follow(wal.clone(), Arc::clone(&times))))
        .collect();
    let started = Instant::now();
    let until = started + scale.slice;
    let producers =
        (0..PRODUCERS).map(|_| tokio::spawn(produce(wal.clone(), Arc::clone(&times), until)));
    let appends = join_all(producers).await.into_iter();
    let appends = appends.flat_map(|times| times.expect("a producer ends"));
    let appends: Vec<f64> = appends.map(|time| time.as_secs_f64() * 1e6).collect();
    let seconds = started.elapsed().as_secs_f64();
    let memory = wal.stats().follow_buffer_bytes;
    wal.close().await.expect("the log closes");
    let lags = lags(followers, &times).await;
    Figures {
        per_second: float(appends.len()) / seconds,
        p50: quantile(appends.clone(), 50),
        p99: quantile(appends, 99),
        lag_p50: quantile(lags.clone(), 50),
        lag_p99: quantile(lags, 99),
        memory: float(usize::try_from(memory).expect("it is in memory")) / float(MIB),
    }
}

async fn produce(wal: Wal, times: Arc<Times>, until: Instant) -> Vec<Duration> {
    let payload = Bytes::from(vec![7; 100]);
    let mut taken = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        let lsn = wal
            .append(payload.clone())
            .await
            .expect("an append succeeds");
        taken.push(started.elapsed());
        if let Some(acknowledged) = times.of(lsn) {
            acknowledged.store(times.now(), Ordering::Relaxed);
        }
    }
    taken
}

/// When each sampled record came. Ends with the log.
async fn follow(wal: Wal, times: Arc<Times>) -> Vec<(Lsn, i64)> {
    let mut follower = wal.follow(Lsn::FIRST);
    drop(wal);
    let mut came = Vec::new();
    while let Some(record) = follower.try_next().await.expect("a follower keeps up") {
        if times.of(record.lsn).is_some() {
            came.push((record.lsn, times.now()));
        }
    }
    came
}

/// How far the followers were behind the acknowledgments, in microseconds.
async fn lags(followers: Vec<JoinHandle<Vec<(Lsn, i64)>>>, times: &Times) -> Vec<f64> {
    let mut lags = Vec::new();
    for follower in followers {
        for (lsn, came) in follower.await.expect("a follower ends") {
            let acknowledged = times.of(lsn).map_or(0, |time| time.load(Ordering::Relaxed));
            if acknowledged > 0 {
                let lag = i32::try_from((came - acknowledged) / 100).unwrap_or(i32::MAX);
                lags.push(f64::from(lag) / 10.0);
            }
        }
    }
    lags
}

async fn catching_up(scale: &Scale) {
    let dir = scratch();
    let wal = Wal::open(dir.path()).await.expect("a log can be opened");
    let records = fill(&wal, scale.mib).await;
    wal.rotate().await.expect("there is room");
    let (mut bare, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let read = read_bare(dir.path());
        let followed = read_followed(&wal, records).await;
        bare.push(read);
        ratios.push(followed / read);
    }
    println!("\ncatching up over {} MiB, records of 4 KiB", scale.mib);
    println!("bare read: {:.0} MiB/s", median(bare));
    println!("follower: {:.2} of it", median(ratios));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        alone.push(p99_of_appends(&wal, scale.slice).await);
        let follower = tokio::spawn(catch_up_again_and_again(wal.clone(), records));
        beside.push(p99_of_appends(&wal, scale.slice).await);
        follower.abort();
        // A task that was stopped is not over at once.
        drop(follower.await);
    }
    let (alone, beside) = (median(alone), median(beside));
    println!(
        "append p99, 64 producers: {alone:.0} us alone, {beside:.0} us beside a follower that catches up ({:.2}x)",
        beside / alone
    );
    wal.close().await.expect("the log closes");
}

async fn fill(wal: &Wal, mib: u64) -> u64 {
    let payload = Bytes::from(vec![7; 4096 - 20]);
    let records = mib * 256;
    let mut pending = Vec::new();
    for _ in 0..records {
        pending.push(wal.submit(payload.clone()).await.expect("there is room"));
        if pending.len() == 4096 {
            join_all(pending.drain(..)).await;
        }
    }
    join_all(pending).await;
    records
}

/// MiB a second.
fn read_bare(dir: &Path) -> f64 {
    let started = Instant::now();
    let (mut buffer, mut bytes) = (vec![0; MIB], 0);
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    files.sort();
    // The last one is open, and empty.
    files.pop();
    for file in files {
        let mut file = File::open(file).expect("a segment can be read");
        loop {
            match file.read(&mut buffer).expect("a segment can be read") {
                0 => break,
                count => bytes += count,
            }
        }
    }
    float(bytes) / float(MIB) / started.elapsed().as_secs_f64()
}

async fn read_followed(wal: &Wal, records: u64) -> f64 {
    let started = Instant::now();
    let mut follower = wal.follow(Lsn::FIRST);
    let mut bytes = 0;
    for _ in 0..records {
        let record = follower.try_next().await.expect("it is there");
        bytes += record.expect("the log is open").payload.len() + 20;
    }
    float(bytes) / float(MIB) / started.elapsed().as_secs_f64()
}

async fn catch_up_again_and_again(wal: Wal, records: u64) {
    loop {
        read_followed(&wal, records).await;
    }
}

/// In microseconds.
async fn p99_of_appends(wal: &Wal, slice: Duration) -> f64 {
    let (times, until) = (Times::new(), Instant::now() + slice);
    let producers = (0..64).map(|_| tokio::spawn(produce(wal.clone(), Arc::clone(&times), until)));
    let appends = join_all(producers).await.into_iter();
    let appends = appends.flat_map(|times| times.expect("a producer ends"));
    quantile(appends.map(|time| time.as_secs_f64() * 1e6).collect(), 99)
}

fn median(values: Vec<f64>) -> f64 {
    quantile(values, 50)
}

fn quantile(mut values: Vec<f64>, percent: usize) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure of a benchmark has few digits"
)]
fn float(count: usize) -> f64 {
    count as f64
}
