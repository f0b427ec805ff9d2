//! What followers cost, how far they are behind, and how fast one catches up.
//!
//!     cargo bench -p tidewal-benches --bench follow -- [--rounds N] [--seconds N] [--mib N] [--only PART]
//!
//! *Cost and lag:* each round runs the same load with 0, 1 and 10 followers that keep up, each on a fresh
//! log, in an order that turns from round to round. 1,024 producers append records of 100 bytes. Reported
//! are appends per second and their ratio to the run without followers of the same round, the time of an
//! append, how far a follower was behind the acknowledgment of the same record (negative where it was
//! earlier), and the bytes in memory for all followers: medians over the rounds.
//!
//! *Catching up:* a log of N MiB is read from its beginning by a follower, by a bare loop of 1 MiB reads
//! over the same files, and by one that also computes checksums, in turns. Once with the files in the page
//! cache (`warm`), and once from the disk (`cold`: the cache is emptied before each reading, and the kernel's
//! count shows that the disk was read). Then once more while 64 producers append: reported is the p99 of their
//! appends with and without the follower, and how fast it reads meanwhile.
//!
//! `--only cost` and `--only behind` measure one of the two.
//!
//! `TIDEWAL_BENCH_DIR` says on which disk, if not on that of `target/`.

#[path = "support/cold.rs"]
mod cold;
#[allow(dead_code, reason = "criterion is not used here")]
mod support;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cold::{bytes_from_disk, evict, finished_segments};
use futures::future::join_all;
use support::{KIB, MIB, is_test, scratch};
use tidewal::{Lsn, Wal};
use tokio::task::JoinHandle;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let scale = Scale::from_args();
    runtime.block_on(async {
        if is_wanted("cost") {
            cost_and_lag(&scale).await;
        }
        if is_wanted("behind") {
            catching_up(&scale).await;
        }
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
    value(flag).map_or(otherwise, |number| {
        number.parse().expect("a flag is followed by a number")
    })
}

fn is_wanted(part: &str) -> bool {
    value("--only").is_none_or(|only| only == part)
}

fn value(flag: &str) -> Option<String> {
    std::env::args()
        .skip_while(|argument| argument != flag)
        .nth(1)
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
    let log = Behind {
        files: finished_segments(dir.path()),
        wal,
        records,
    };
    println!("\ncatching up over {} MiB, records of 4 KiB", scale.mib);
    for cache in Cache::ALL {
        alone(scale, &log, cache).await;
    }
    for cache in Cache::ALL {
        beside_appends(scale, &log, cache).await;
    }
    log.wal.close().await.expect("the log closes");
}

/// A log that a follower is behind.
#[derive(Clone)]
struct Behind {
    wal: Wal,
    files: Vec<PathBuf>,
    records: u64,
}

/// Whether files are in the page cache when they are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cache {
    Warm,
    Cold,
}

impl Cache {
    const ALL: [Self; 2] = [Self::Warm, Self::Cold];

    fn prepare(self, log: &Behind) {
        if self == Self::Cold {
            evict(&log.files);
        }
    }
}

/// How fast files are read, in MiB a second.
#[derive(Clone, Copy, Default)]
struct Speeds {
    bare: f64,
    checked: f64,
    followed: f64,
    /// The smallest part of the files that came from the disk.
    from_disk: f64,
}

async fn alone(scale: &Scale, log: &Behind, cache: Cache) {
    let mut rounds = Vec::new();
    for _ in 0..scale.rounds {
        let mut speeds = Speeds {
            from_disk: f64::INFINITY,
            ..Speeds::default()
        };
        for reader in 0..3 {
            cache.prepare(log);
            let before = bytes_from_disk();
            match reader {
                0 => speeds.bare = read_bare(log, false),
                1 => speeds.checked = read_bare(log, true),
                _ => speeds.followed = read_followed(log).await,
            }
            let read = usize::try_from(bytes_from_disk() - before).expect("it fits into memory");
            let records = usize::try_from(log.records).expect("they were counted");
            let part = float(read) / 4096.0 / float(records);
            speeds.from_disk = speeds.from_disk.min(part);
        }
        rounds.push(speeds);
    }
    report_alone(cache, &rounds);
}

fn report_alone(cache: Cache, rounds: &[Speeds]) {
    let of = |value: fn(&Speeds) -> f64| spread(&rounds.iter().map(value).collect::<Vec<_>>());
    println!("{cache:?}, MiB/s: median (least..most)");
    println!("  bare read:            {}", of(|round| round.bare));
    println!("  with a CRC-32:        {}", of(|round| round.checked));
    println!("  follower:             {}", of(|round| round.followed));
    println!(
        "  follower to bare:     {}",
        of(|round| round.followed / round.bare)
    );
    println!(
        "  follower to CRC-32:   {}",
        of(|round| round.followed / round.checked)
    );
    println!("  least from the disk:  {}", of(|round| round.from_disk));
}

/// The appends of 64 producers, with and without a follower that catches up again and again.
#[derive(Clone, Copy, Default)]
struct Pair {
    alone: Appends,
    beside: Appends,
    /// How fast the follower read, in MiB a second.
    speed: f64,
}

#[derive(Clone, Copy, Default)]
struct Appends {
    per_second: f64,
    /// In microseconds.
    p99: f64,
}

async fn beside_appends(scale: &Scale, log: &Behind, cache: Cache) {
    let mut rounds = Vec::new();
    for _ in 0..scale.rounds {
        let alone = appends(&log.wal, scale.slice).await;
        let ends = Arc::new(AtomicBool::new(false));
        let (behind, is_over) = (log.clone(), Arc::clone(&ends));
        let follower = tokio::spawn(async move { catch_up_until(&behind, cache, &is_over).await });
        let beside = appends(&log.wal, scale.slice).await;
        ends.store(true, Ordering::Relaxed);
        let speed = follower.await.expect("it ends");
        rounds.push(Pair {
            alone,
            beside,
            speed,
        });
    }
    let of = |value: fn(&Pair) -> f64| spread(&rounds.iter().map(value).collect::<Vec<_>>());
    println!("{cache:?}, beside the appends of 64 producers");
    println!("  append p99 alone, us: {}", of(|round| round.alone.p99));
    println!("  append p99 beside it: {}", of(|round| round.beside.p99));
    println!(
        "  p99 to alone:         {}",
        of(|round| round.beside.p99 / round.alone.p99)
    );
    println!(
        "  appends/s to alone:   {}",
        of(|round| round.beside.per_second / round.alone.per_second)
    );
    println!("  follower, MiB/s:      {}", of(|round| round.speed));
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

/// Reads pieces of 1 MiB, with or without a CRC-32 over each 4 KiB of them. In MiB a second.
fn read_bare(log: &Behind, is_checked: bool) -> f64 {
    let started = Instant::now();
    let (mut buffer, mut bytes) = (vec![0; MIB], 0);
    for path in &log.files {
        let mut file = File::open(path).expect("a segment can be read");
        loop {
            let count = file.read(&mut buffer).expect("a segment can be read");
            if count == 0 {
                break;
            }
            bytes += count;
            if is_checked {
                let crcs = buffer[..count].chunks(4 * KIB).map(crc32fast::hash);
                std::hint::black_box(crcs.fold(0, |all, crc| all ^ crc));
            }
        }
    }
    float(bytes) / float(MIB) / started.elapsed().as_secs_f64()
}

async fn read_followed(log: &Behind) -> f64 {
    let started = Instant::now();
    let bytes = follow_until(log, &AtomicBool::new(false)).await;
    float(bytes) / float(MIB) / started.elapsed().as_secs_f64()
}

/// Follows from the first record to the last of the files. Returns the bytes of the records.
async fn follow_until(log: &Behind, is_over: &AtomicBool) -> usize {
    let mut follower = log.wal.follow(Lsn::FIRST);
    let mut bytes = 0;
    for _ in 0..log.records {
        let record = follower.try_next().await.expect("it is there");
        bytes += record.expect("the log is open").payload.len() + 20;
        if is_over.load(Ordering::Relaxed) {
            break;
        }
    }
    bytes
}

/// In MiB a second. The time to empty the cache does not count.
async fn catch_up_until(log: &Behind, cache: Cache, is_over: &AtomicBool) -> f64 {
    let (mut bytes, mut time) = (0, Duration::ZERO);
    while !is_over.load(Ordering::Relaxed) {
        cache.prepare(log);
        let started = Instant::now();
        bytes += follow_until(log, is_over).await;
        time += started.elapsed();
    }
    float(bytes) / float(MIB) / time.as_secs_f64()
}

async fn appends(wal: &Wal, slice: Duration) -> Appends {
    let (times, started) = (Times::new(), Instant::now());
    let until = started + slice;
    let producers = (0..64).map(|_| tokio::spawn(produce(wal.clone(), Arc::clone(&times), until)));
    let appends = join_all(producers).await.into_iter();
    let appends = appends.flat_map(|times| times.expect("a producer ends"));
    let appends: Vec<_> = appends.map(|time| time.as_secs_f64() * 1e6).collect();
    let per_second = float(appends.len()) / started.elapsed().as_secs_f64();
    Appends {
        per_second,
        p99: quantile(appends, 99),
    }
}

/// Median (least..most).
fn spread(values: &[f64]) -> String {
    let at = |percent| quantile(values.to_vec(), percent);
    let digits = if at(50) < 100.0 { 2 } else { 0 };
    let (median, least, most) = (at(50), at(0), at(100));
    format!("{median:.digits$} ({least:.digits$}..{most:.digits$})")
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
