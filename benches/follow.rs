//! What followers that keep up cost, and how far they are behind.
//!
//!     cargo bench -p tidewal-benches --bench follow -- [--rounds N] [--seconds N]
//!
//! Each round runs the same load with 0, 1 and 10 followers, each on a fresh log, in an order that turns from
//! round to round. 1,024 producers append records of 100 bytes. Reported are appends per second and their ratio
//! to the run without followers of the same round, the time of an append, how far a follower was behind the
//! acknowledgment of the same record (negative where it was earlier), and the bytes in memory for all
//! followers: medians over the rounds.
//!
//! `TIDEWAL_BENCH_DIR` says on which disk, if not on that of `target/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use tidewal::{Lsn, Wal};
use tidewal_benches::figures::{Scale, float, median, quantile, spread};
use tidewal_benches::{MIB, scratch};
use tokio::task::JoinHandle;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(cost_and_lag(&Scale::from_args()));
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
    println!(
        "followers | appends/s | to none, in each round | append p50, p99 us | behind p50, p99 us | memory"
    );
    for (index, followers) in FOLLOWERS.iter().enumerate() {
        let of = |value: &dyn Fn(&[Figures; FOLLOWERS.len()]) -> f64| {
            median(rounds.iter().map(value).collect())
        };
        println!(
            "{followers:9} | {:9.0} | {:>22} | {:8.0} {:9.0} | {:8.0} {:9.0} | {:4.1} MiB",
            of(&|round| round[index].per_second),
            spread(
                &rounds
                    .iter()
                    .map(|round| round[index].per_second / round[0].per_second)
                    .collect::<Vec<_>>()
            ),
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
