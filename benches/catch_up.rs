//! How fast a follower that is behind catches up, and what that costs the appends.
//!
//!     cargo bench -p tidewal-benches --bench catch_up -- [--rounds N] [--seconds N] [--mib N]
//!
//! A log of N MiB is read from its beginning by a follower, by a bare loop of 1 MiB reads over the same files,
//! and by one that also computes checksums, in turns. Once with the files in the page cache (`Warm`), and once
//! from the disk (`Cold`: the cache is emptied before each reading, and the kernel's count shows that the disk
//! was read). Then 64 producers append beside a reader: the bare loop, the follower, and the follower with a
//! consumer that sleeps to take 256 MiB/s. Reported is the p99 of their appends with and without the reader,
//! and how fast it reads meanwhile.
//!
//! `TIDEWAL_BENCH_DIR` says on which disk, if not on that of `target/`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use tidewal::{Lsn, Wal};
use tidewal_benches::cold::{bytes_from_disk, evict, finished_segments};
use tidewal_benches::figures::{Scale, float, number, quantile, spread};
use tidewal_benches::{KIB, MIB, is_test, scratch};

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let mib = if is_test() { 8 } else { number("--mib", 2048) };
    runtime.block_on(catch_up(&Scale::from_args(), mib));
}

async fn catch_up(scale: &Scale, mib: u64) {
    let dir = scratch();
    let wal = Wal::open(dir.path()).await.expect("a log can be opened");
    let records = fill(&wal, mib).await;
    wal.rotate().await.expect("there is room");
    let log = Behind {
        files: finished_segments(dir.path()),
        wal,
        records,
    };
    println!("\ncatching up over {mib} MiB, records of 4 KiB");
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

/// The appends of 64 producers, alone and beside a reader that reads the files again and again.
#[derive(Clone, Copy, Default)]
struct Pair {
    alone: Appends,
    beside: Appends,
    /// How fast the reader was, in MiB a second.
    speed: f64,
}

#[derive(Clone, Copy, Default)]
struct Appends {
    per_second: f64,
    /// In microseconds.
    p99: f64,
}

/// What reads beside the appends.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// A thread that reads the files and computes nothing: what the disk itself allows.
    Bare,
    Follower,
    /// A follower whose consumer sleeps, so that it takes [`PACE`].
    PacedFollower,
}

/// MiB a second.
const PACE: f64 = 256.0;

async fn beside_appends(scale: &Scale, log: &Behind, cache: Cache) {
    const READERS: [Reader; 3] = [Reader::Bare, Reader::Follower, Reader::PacedFollower];
    let mut rounds = READERS.map(|_| Vec::new());
    for _ in 0..scale.rounds {
        for (reader, rounds) in READERS.into_iter().zip(&mut rounds) {
            rounds.push(pair(scale, log, cache, reader).await);
        }
    }
    println!("{cache:?}, beside the appends of 64 producers");
    for (reader, rounds) in READERS.into_iter().zip(&rounds) {
        report_beside(reader, rounds);
    }
}

async fn pair(scale: &Scale, log: &Behind, cache: Cache, reader: Reader) -> Pair {
    let alone = appends(&log.wal, scale.slice).await;
    let ends = Arc::new(AtomicBool::new(false));
    let (behind, is_over) = (log.clone(), Arc::clone(&ends));
    let reading = std::thread::spawn(move || read_until(&behind, cache, reader, &is_over));
    let beside = appends(&log.wal, scale.slice).await;
    ends.store(true, Ordering::Relaxed);
    let speed = reading.join().expect("it ends");
    Pair {
        alone,
        beside,
        speed,
    }
}

fn report_beside(reader: Reader, rounds: &[Pair]) {
    let of = |value: fn(&Pair) -> f64| spread(&rounds.iter().map(value).collect::<Vec<_>>());
    println!("  {reader:?}");
    println!("    append p99 alone, us: {}", of(|round| round.alone.p99));
    println!("    append p99 beside it: {}", of(|round| round.beside.p99));
    let p99 = of(|round| round.beside.p99 / round.alone.p99);
    println!("    p99 to alone:         {p99}");
    let rate = of(|round| round.beside.per_second / round.alone.per_second);
    println!("    appends/s to alone:   {rate}");
    println!("    it reads, MiB/s:      {}", of(|round| round.speed));
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

/// Reads with or without a CRC-32 over each 4 KiB. In MiB a second.
fn read_bare(log: &Behind, is_checked: bool) -> f64 {
    let started = Instant::now();
    let bytes = read_files(log, is_checked, &AtomicBool::new(false));
    float(bytes) / float(MIB) / started.elapsed().as_secs_f64()
}

/// Reads pieces of 1 MiB. Returns the bytes that it read.
fn read_files(log: &Behind, is_checked: bool, is_over: &AtomicBool) -> usize {
    let (mut buffer, mut bytes) = (vec![0; MIB], 0);
    for path in &log.files {
        let mut file = File::open(path).expect("a segment can be read");
        loop {
            let count = file.read(&mut buffer).expect("a segment can be read");
            if count == 0 || is_over.load(Ordering::Relaxed) {
                break;
            }
            bytes += count;
            if is_checked {
                let crcs = buffer[..count].chunks(4 * KIB).map(crc32fast::hash);
                std::hint::black_box(crcs.fold(0, |all, crc| all ^ crc));
            }
        }
    }
    bytes
}

async fn read_followed(log: &Behind) -> f64 {
    let started = Instant::now();
    let bytes = follow_until(log, None, &AtomicBool::new(false)).await;
    float(bytes) / float(MIB) / started.elapsed().as_secs_f64()
}

/// Follows from the first record to the last of the files, at most at `pace` MiB a second. Returns the
/// bytes of the records.
async fn follow_until(log: &Behind, pace: Option<f64>, is_over: &AtomicBool) -> usize {
    let mut follower = log.wal.follow(Lsn::FIRST);
    let (mut bytes, started) = (0, Instant::now());
    for _ in 0..log.records {
        let record = follower.try_next().await.expect("it is there");
        bytes += record.expect("the log is open").payload.len() + 20;
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        if let Some(pace) = pace {
            let due = Duration::from_secs_f64(float(bytes) / float(MIB) / pace);
            let early = due.saturating_sub(started.elapsed());
            if early > Duration::from_millis(2) {
                tokio::time::sleep(early).await;
            }
        }
    }
    bytes
}

/// In MiB a second. The time to empty the cache does not count. On a thread of its own: the time of the
/// producers' runtime is measured.
fn read_until(log: &Behind, cache: Cache, reader: Reader, is_over: &AtomicBool) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be made");
    let (mut bytes, mut time) = (0, Duration::ZERO);
    while !is_over.load(Ordering::Relaxed) {
        cache.prepare(log);
        let started = Instant::now();
        bytes += match reader {
            Reader::Bare => read_files(log, false, is_over),
            Reader::Follower => runtime.block_on(follow_until(log, None, is_over)),
            Reader::PacedFollower => runtime.block_on(follow_until(log, Some(PACE), is_over)),
        };
        time += started.elapsed();
    }
    float(bytes) / float(MIB) / time.as_secs_f64()
}

async fn appends(wal: &Wal, slice: Duration) -> Appends {
    let started = Instant::now();
    let until = started + slice;
    let producers = (0..64).map(|_| tokio::spawn(produce(wal.clone(), until)));
    let appends = join_all(producers).await.into_iter();
    let appends = appends.flat_map(|times| times.expect("a producer ends"));
    let appends: Vec<_> = appends.map(|time| time.as_secs_f64() * 1e6).collect();
    let per_second = float(appends.len()) / started.elapsed().as_secs_f64();
    Appends {
        per_second,
        p99: quantile(appends, 99),
    }
}

/// How long each append took.
async fn produce(wal: Wal, until: Instant) -> Vec<Duration> {
    let payload = Bytes::from(vec![7; 100]);
    let mut taken = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        let lsn = wal.append(payload.clone()).await;
        lsn.expect("an append succeeds");
        taken.push(started.elapsed());
    }
    taken
}
