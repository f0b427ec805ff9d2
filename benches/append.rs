//! Appends from many producers, each of which waits for its LSN before it appends again, compared with the
//! baseline: a bare write and sync on the same disk.
//!
//! All combinations are measured: 1, 16, 64 and 1,024 producers, payloads of 100 B, 4 KiB and 64 KiB, and a
//! sync as soon as the disk is free or at intervals of 0.5 to 20 ms. This takes about five minutes on an idle
//! disk, and less than 1 GiB of space.
//!
//! One iteration is a round: one append by each producer. The time is therefore what a producer waits for an
//! append, and the throughput is appends per second. The time divided by the time for the same size in the group
//! `baseline` says how many bare syncs an append takes. If the speed of the disk changes within minutes, that
//! ratio says little. Each case therefore also measures some bare syncs between its own samples. Their ratio,
//! and how many appends shared a sync, are printed to standard error.
//!
//! A log is measured in the state after a service's first minutes: in a segment that was written before, with a
//! spare one ready. The cases that write much fill several segments in a sample, so the cost of new segments is
//! included. Truncation limits the disk space, while the clock is stopped.
//!
//! `TIDEWAL_BENCH_DIR` selects the disk. The default is that of `target/`. A memory file system shows nothing.

use std::fs::File;
use std::io::{Seek, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use criterion::{criterion_group, criterion_main};
use tempfile::TempDir;
use tidewal::{Durability, SyncPolicy, Wal};
use tidewal_benches::{KIB, MIB, is_test, scratch, size_name};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

criterion_group! {
    name = benches;
    config = tidewal_benches::criterion();
    targets = baseline, append
}
criterion_main!(benches);

/// The bare disk.
fn baseline(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("baseline");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(1));
    for len in PAYLOADS {
        let payload = vec![PAYLOAD_BYTE; len];
        let mut file = None;
        group.bench_function(size_name(len), |bencher| {
            let file = file.get_or_insert_with(Prewritten::create);
            bencher.iter(|| file.write_and_sync(&payload));
        });
    }
}

/// The log.
fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime can be made");
    let mut group = criterion.benchmark_group("append");
    group.sampling_mode(SamplingMode::Flat);
    for case in cases() {
        measure(&mut group, &runtime, case);
    }
}

/// Measures one case. Its log is opened only if the case is not filtered out.
fn measure(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, case: Case) {
    let mut log = None;
    group.throughput(Throughput::Elements(case.producers as u64));
    group.bench_function(case.id(), |bencher| {
        let log = log.get_or_insert_with(|| runtime.block_on(Log::open(case)));
        bencher.iter_custom(|rounds| runtime.block_on(log.run(rounds)));
    });
    if let Some(log) = log {
        if !is_test() {
            log.report();
        }
        runtime.block_on(log.wal.close()).expect("the log closes");
    }
}

/// The values that are varied.
#[derive(Clone, Copy)]
struct Case {
    policy: SyncPolicy,
    payload_len: usize,
    producers: usize,
}

impl Case {
    fn id(self) -> BenchmarkId {
        BenchmarkId::new(self.name(), self.producers)
    }

    fn name(self) -> String {
        format!(
            "{}/{}",
            policy_name(self.policy),
            size_name(self.payload_len)
        )
    }

    /// The number of producers that run. Fewer in a test, so they do not write much.
    fn tasks(self) -> usize {
        if is_test() {
            self.producers.min(16)
        } else {
            self.producers
        }
    }

    /// Rounds between two truncations.
    fn rounds_at_once(self) -> u64 {
        let round_bytes = self.tasks() * self.payload_len;
        (TRUNCATE_AFTER / round_bytes).max(1) as u64
    }
}

/// All cases.
fn cases() -> impl Iterator<Item = Case> {
    policies().flat_map(|policy| {
        PAYLOADS.into_iter().flat_map(move |payload_len| {
            PRODUCERS.into_iter().map(move |producers| Case {
                policy,
                payload_len,
                producers,
            })
        })
    })
}

fn policies() -> impl Iterator<Item = SyncPolicy> {
    let intervals = INTERVALS_MICROS.into_iter().map(Duration::from_micros);
    std::iter::once(SyncPolicy::Always).chain(intervals.map(SyncPolicy::Interval))
}

fn policy_name(policy: SyncPolicy) -> String {
    match policy {
        SyncPolicy::Interval(interval) => format!("{interval:?}"),
        _ => "always".into(),
    }
}

/// The log of one case.
struct Log {
    wal: Wal,
    case: Case,
    payload: Bytes,
    bare: Prewritten,
    count: Count,
    _dir: TempDir,
}

/// What was done while the clock was running.
#[derive(Default)]
struct Count {
    appends: u64,
    syncs: u64,
    segments: u64,
    round: Mean,
    bare: Mean,
}

/// The mean time of an operation.
#[derive(Default)]
struct Mean {
    total: Duration,
    count: u64,
}

impl Mean {
    fn add(&mut self, spent: Duration, count: u64) {
        self.total += spent;
        self.count += count;
    }

    fn get(&self) -> Duration {
        let count = u32::try_from(self.count).expect("a bench is over in minutes");
        self.total / count
    }
}

impl Log {
    async fn open(case: Case) -> Self {
        let dir = scratch();
        let options = Wal::options().sync_policy(case.policy);
        let wal = options.segment_size(segment_len()).open(dir.path()).await;
        let wal = wal.expect("an empty directory opens");
        let payload = vec![PAYLOAD_BYTE; case.payload_len].into();
        let log = Self {
            wal,
            case,
            payload,
            bare: Prewritten::create(),
            count: Count::default(),
            _dir: dir,
        };
        if !is_test() {
            log.settle().await;
        }
        log
    }

    /// Leaves the first segments behind, which were not written ahead.
    ///
    /// A truncation that removes a segment returns only after a spare was made ready. The second rotation then
    /// uses that spare.
    async fn settle(&self) {
        for _ in 0..2 {
            self.fill_segment().await;
            self.truncate().await;
        }
    }

    /// Appends until the log has moved to a new segment.
    async fn fill_segment(&self) {
        let filler = Bytes::from(vec![PAYLOAD_BYTE; MIB]);
        let opened = self.wal.stats().segments.max(1);
        while self.wal.stats().segments <= opened {
            let appended = self.wal.append_with(filler.clone(), Durability::Written);
            appended.await.expect("the filler is appended");
        }
    }

    /// Truncates everything that is durable.
    async fn truncate(&self) {
        let end = self.wal.sync().await.expect("the log syncs");
        let truncated = self.wal.truncate_before(end.next()).await;
        truncated.expect("what is durable can be truncated");
    }

    /// Times this many appends by each producer. Truncates from time to time, while the clock is stopped.
    async fn run(&mut self, rounds: u64) -> Duration {
        self.run_bare();
        let (mut left, mut spent) = (rounds, Duration::ZERO);
        while left > 0 {
            let now = left.min(self.case.rounds_at_once());
            spent += self.run_at_once(now).await;
            self.truncate().await;
            left -= now;
        }
        spent
    }

    async fn run_at_once(&mut self, rounds: u64) -> Duration {
        let (before, start) = (self.wal.stats(), Instant::now());
        let producers: JoinSet<()> = (0..self.case.tasks())
            .map(|_| produce(self.wal.clone(), self.payload.clone(), rounds))
            .collect();
        producers.join_all().await;
        let (spent, after) = (start.elapsed(), self.wal.stats());
        self.count.appends += after.records - before.records;
        self.count.syncs += after.syncs - before.syncs;
        self.count.segments += after.segments - before.segments;
        self.count.round.add(spent, rounds);
        spent
    }

    /// Times some bare writes and syncs of the same size.
    fn run_bare(&mut self) {
        let start = Instant::now();
        (0..BARE_SYNCS).for_each(|_| self.bare.write_and_sync(&self.payload));
        self.count.bare.add(start.elapsed(), BARE_SYNCS);
    }

    fn report(&self) {
        let name = format!("append/{}/{}", self.case.name(), self.case.producers);
        let Count {
            appends,
            syncs,
            segments,
            ..
        } = self.count;
        let (round, bare) = (self.count.round.get(), self.count.bare.get());
        let tenths = appends * 10 / syncs.max(1);
        eprintln!(
            "{name}: {}.{} appends per sync ({appends} in {syncs})",
            tenths / 10,
            tenths % 10
        );
        let ratio = round.div_duration_f64(bare);
        eprintln!("{name}: a round took {round:.1?}, or {ratio:.2} bare syncs of {bare:.1?}");
        eprintln!("{name}: {segments} segments were opened");
    }
}

/// A producer in a closed loop.
async fn produce(wal: Wal, payload: Bytes, rounds: u64) {
    for _ in 0..rounds {
        wal.append(payload.clone())
            .await
            .expect("the append succeeds");
    }
}

/// A file of which every byte was written, so a sync has no metadata to write.
struct Prewritten {
    file: File,
    offset: usize,
    len: usize,
    _dir: TempDir,
}

impl Prewritten {
    fn create() -> Self {
        let dir = scratch();
        let len = if is_test() { MIB } else { 64 * MIB };
        let mut file = File::create_new(dir.path().join("baseline")).expect("a file can be made");
        file.write_all(&vec![0; len]).expect("the file has room");
        file.sync_all().expect("the file syncs");
        Self {
            file,
            offset: len,
            len,
            _dir: dir,
        }
    }

    /// Writes at the next position, and starts again at the beginning of the file after its end.
    fn write_and_sync(&mut self, bytes: &[u8]) {
        if self.offset + bytes.len() > self.len {
            self.file.rewind().expect("the file seeks");
            self.offset = 0;
        }
        self.file.write_all(bytes).expect("the file is written");
        self.file.sync_data().expect("the file syncs");
        self.offset += bytes.len();
    }
}

/// The default, or less in a test, which has no time to make a spare of that size.
fn segment_len() -> u64 {
    if is_test() {
        MIB as u64
    } else {
        64 * MIB as u64
    }
}

const PRODUCERS: [usize; 4] = [1, 16, 64, 1024];
const PAYLOADS: [usize; 3] = [100, 4 * KIB, 64 * KIB];
const INTERVALS_MICROS: [u64; 6] = [500, 1_000, 2_000, 5_000, 10_000, 20_000];

/// Bytes of payload between two truncations.
const TRUNCATE_AFTER: usize = 256 * MIB;

/// Bare syncs before each sample.
const BARE_SYNCS: u64 = 16;

const PAYLOAD_BYTE: u8 = 0x5a;
