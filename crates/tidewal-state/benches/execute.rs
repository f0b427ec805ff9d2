//! The cost of a state machine on top of its log: `execute` compared with `append`, a large
//! snapshot while producers work, and the time of a start.
//!
//!     cargo bench -p tidewal-state -- [--only execute|snapshot|start] [--dir DIR] [--rounds N]
//!         [--snapshot-mib N]
//!
//! Both sides take turns within one run, so a disk that changes its speed affects both alike.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidewal::typed::{BoxError, Codec, Logged, TypedWal};
use tidewal::{Lsn, Wal};
use tidewal_state::{SnapshotFormat, SnapshotPolicy, State, StateMachine};

/// A table of numbers in parts of a mebibyte, which are cheap to freeze.
struct Table(Vec<Arc<Part>>);

type Part = Vec<u64>;

/// Numbers in a part.
const PART_LEN: usize = 128 * 1024;

impl Default for Table {
    fn default() -> Self {
        Self(vec![Arc::new(vec![0; PART_LEN])])
    }
}

enum Command {
    Set { at: u64, to: u64 },
    Grow { parts: u64 },
}

struct ByHand;

impl Logged for Command {
    type Codec = ByHand;
}

impl Codec<Command> for ByHand {
    fn encode(command: &Command, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        let (kind, first, second) = match command {
            Command::Set { at, to } => (0, *at, *to),
            Command::Grow { parts } => (1, *parts, 0),
        };
        buffer.push(kind);
        buffer.extend(first.to_le_bytes());
        buffer.extend(second.to_le_bytes());
        Ok(())
    }

    fn decode(record: Bytes) -> Result<Command, BoxError> {
        let first = u64::from_le_bytes(record[1..9].try_into()?);
        let second = u64::from_le_bytes(record[9..17].try_into()?);
        Ok(match record[0] {
            0 => Command::Set {
                at: first,
                to: second,
            },
            _ => Command::Grow { parts: first },
        })
    }
}

impl State for Table {
    type Command = Command;
    type Output = u64;
    type Snapshot = ByHand;

    fn apply(&mut self, lsn: Lsn, command: Command) -> u64 {
        match command {
            Command::Set { at, to } => {
                let parts = self.0.len();
                let part = &mut self.0[usize::try_from(at).unwrap() % parts];
                Arc::make_mut(part)[usize::try_from(at).unwrap() % PART_LEN] = to;
            }
            Command::Grow { parts } => {
                let part = || Arc::new(vec![lsn.get(); PART_LEN]);
                self.0.extend((0..parts).map(|_| part()));
            }
        }
        lsn.get()
    }
}

impl SnapshotFormat<Table> for ByHand {
    type Frozen = Vec<Arc<Part>>;

    fn freeze(table: &Table) -> Vec<Arc<Part>> {
        table.0.clone()
    }

    fn write(frozen: Vec<Arc<Part>>, output: &mut dyn Write) -> Result<(), BoxError> {
        let mut bytes = Vec::with_capacity(1 << 20);
        for part in frozen {
            bytes.clear();
            part.iter()
                .for_each(|number| bytes.extend(number.to_le_bytes()));
            output.write_all(&bytes)?;
        }
        Ok(())
    }

    fn read(_: u32, input: &mut dyn Read) -> Result<Table, BoxError> {
        let (mut parts, mut bytes) = (Vec::new(), vec![0; 1 << 20]);
        while input.read_exact(&mut bytes).is_ok() {
            let numbers = bytes.chunks_exact(8);
            let numbers = numbers.map(|bytes| Ok(u64::from_le_bytes(bytes.try_into()?)));
            parts.push(Arc::new(numbers.collect::<Result<Part, BoxError>>()?));
        }
        Ok(Table(parts))
    }
}

#[derive(Clone)]
enum Target {
    Log(TypedWal<Command>),
    Machine(StateMachine<Table>),
}

impl Target {
    async fn call(&self, at: u64) {
        let command = Command::Set { at, to: at };
        match self {
            Self::Log(wal) => drop(wal.append(&command).await.unwrap()),
            Self::Machine(machine) => drop(machine.execute(command).await.unwrap()),
        }
    }
}

/// Calls per second, processor time per call, and sorted latencies.
struct Measured {
    per_second: f64,
    processor_us: f64,
    latencies: Vec<Duration>,
}

impl Measured {
    fn at(&self, part: f64) -> f64 {
        let last = self.latencies.len() - 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "an index into a list that was just measured"
        )]
        let index = (last as f64 * part) as usize;
        self.latencies[index].as_secs_f64() * 1e6
    }
}

/// The processor time of this process so far, in seconds, in steps of a hundredth. 0 without
/// `/proc`.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Lets producers call until `stop`.
async fn measure(target: &Target, producers: u64, stop: Arc<AtomicBool>) -> Measured {
    let (started, processor) = (Instant::now(), processor_time());
    let tasks: Vec<_> = (0..producers)
        .map(|producer| {
            let (target, stop) = (target.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut at = producer;
                // At least once, however short the round is.
                loop {
                    let called = Instant::now();
                    target.call(at).await;
                    latencies.push(called.elapsed());
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    at = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.append(&mut task.await.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "it is far below 2^52")]
    let calls = latencies.len() as f64;
    let measured = Measured {
        per_second: calls / started.elapsed().as_secs_f64(),
        processor_us: (processor_time() - processor) * 1e6 / calls,
        latencies: Vec::new(),
    };
    latencies.sort_unstable();
    Measured {
        latencies,
        ..measured
    }
}

async fn measure_for(target: &Target, producers: u64, time: Duration) -> Measured {
    let stop = Arc::new(AtomicBool::new(false));
    let measure = measure(target, producers, Arc::clone(&stop));
    let end = async {
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(measure, end).0
}

/// The median, the minimum and the maximum of some ratios.
fn spread(ratios: impl Iterator<Item = f64>) -> String {
    let mut ratios: Vec<_> = ratios.collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    format!("{:.2} ({least:.2}..{most:.2})", median(ratios))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

async fn execute_beside_append(dir: &Path, rounds: usize, size: &Size) {
    println!(
        "append and execute in turns, medians of {rounds} rounds; ratios are execute relative to append"
    );
    println!("| producers | calls/s | ratio | processor us/call | ratio | p50 us | p99 us |");
    println!("|---|---|---|---|---|---|---|");
    for producers in [1, 64, 1024] {
        let wal = Wal::open(dir.join(format!("log-{producers}")))
            .await
            .unwrap();
        let machine = StateMachine::options()
            .snapshots(SnapshotPolicy::default().only_when_asked())
            .open(dir.join(format!("machine-{producers}")))
            .await
            .unwrap();
        let log = Target::Log(wal.clone().typed());
        let execute = Target::Machine(machine.clone());
        for target in [&log, &execute] {
            measure_for(target, producers, size.round).await;
        }
        let (mut logs, mut executes) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            logs.push(measure_for(&log, producers, size.round).await);
            executes.push(measure_for(&execute, producers, size.round).await);
            wal.truncate_before(wal.durable_lsn()).await.unwrap();
            machine.snapshot().await.unwrap();
        }
        print_row(producers, &logs, &executes);
        machine.close().await.unwrap();
        wal.close().await.unwrap();
    }
}

fn print_row(producers: u64, logs: &[Measured], executes: &[Measured]) {
    let of = |what: &dyn Fn(&Measured) -> f64, digits: usize| {
        let [log, execute] = [logs, executes].map(|all| median(all.iter().map(what).collect()));
        format!("{log:.digits$} / {execute:.digits$}")
    };
    let ratio = |what: &dyn Fn(&Measured) -> f64| {
        let pairs = logs.iter().zip(executes);
        spread(pairs.map(|(log, execute)| what(execute) / what(log)))
    };
    println!(
        "| {producers} | {} | {} | {} | {} | {} | {} |",
        of(&|m| m.per_second, 0),
        ratio(&|m| m.per_second),
        of(&|m| m.processor_us, 1),
        ratio(&|m| m.processor_us),
        of(&|m| m.at(0.5), 0),
        of(&|m| m.at(0.99), 0),
    );
}

async fn snapshot_under_load(dir: &Path, mib: u64, size: &Size) {
    let dir = dir.join("large");
    let machine = StateMachine::options()
        .snapshots(SnapshotPolicy::default().only_when_asked().keep(1))
        .open(&dir)
        .await
        .unwrap();
    machine.execute(Command::Grow { parts: mib }).await.unwrap();
    let target = Target::Machine(machine.clone());
    println!("\n64 producers while a snapshot of {mib} MiB is taken, in turns");
    println!("| | calls/s | p50 us | p99 us | longest us | snapshot s | frozen us |");
    println!("|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for _ in 0..size.snapshots {
        let alone = measure_for(&target, 64, size.alone).await;
        print_load("without", &alone, None);
        let stop = Arc::new(AtomicBool::new(false));
        let work = measure(&target, 64, Arc::clone(&stop));
        let snapshot = async {
            machine.snapshot().await.unwrap();
            stop.store(true, Ordering::Relaxed);
        };
        let (with, ()) = tokio::join!(work, snapshot);
        print_load("with", &with, Some(machine.stats()));
        ratios.push(with.at(0.99) / alone.at(0.99));
    }
    println!(
        "p99 with a snapshot by p99 without: {}",
        spread(ratios.into_iter())
    );
    machine.close().await.unwrap();
}

fn print_load(name: &str, measured: &Measured, stats: Option<tidewal_state::Stats>) {
    let (time, frozen) = stats.map_or((0.0, 0.0), |stats| {
        (
            stats.snapshot_time.as_secs_f64(),
            stats.freeze_time.as_secs_f64() * 1e6,
        )
    });
    println!(
        "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {time:.2} | {frozen:.0} |",
        measured.per_second,
        measured.at(0.5),
        measured.at(0.99),
        measured.at(1.0),
    );
}

async fn starts(dir: &Path, size: &Size) {
    println!("\na start, by the size of the state and by what it has to apply");
    println!("| state MiB | records after the snapshot | MiB of log | s |\n|---|---|---|---|");
    for &mib in size.states {
        let dir = dir.join(format!("start-{mib}"));
        let machine = open_table(&dir).await;
        machine.execute(Command::Grow { parts: mib }).await.unwrap();
        machine.snapshot().await.unwrap();
        machine.close().await.unwrap();
        let mut applied = 0;
        for &records in size.records {
            let machine = open_table(&dir).await;
            fill(&machine, applied..records).await;
            machine.close().await.unwrap();
            applied = records;
            let started = Instant::now();
            let machine = open_table(&dir).await;
            let took = started.elapsed().as_secs_f64();
            let stats = machine.stats();
            println!(
                "| {mib} | {} | {} | {took:.3} |",
                stats.records_since_snapshot,
                stats.bytes_since_snapshot >> 20
            );
            machine.close().await.unwrap();
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

async fn open_table(dir: &Path) -> StateMachine<Table> {
    let policy = SnapshotPolicy::default().only_when_asked().keep(1);
    let options = StateMachine::options().snapshots(policy);
    options.open(dir).await.unwrap()
}

/// Records of about 30 bytes, many in flight.
async fn fill(machine: &StateMachine<Table>, range: std::ops::Range<u64>) {
    let mut pending = Vec::new();
    for at in range {
        pending.push(machine.submit(Command::Set { at, to: 1 }).await.unwrap());
        if pending.len() == 10_000 {
            futures::future::join_all(pending.drain(..)).await;
        }
    }
    futures::future::join_all(pending).await;
}

fn main() {
    // `cargo test` runs it too, to check that it works. It is small then, and its figures mean
    // nothing.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let size = if is_bench { &FULL } else { &SMALL };
    let (mut rounds, mut mib, mut dir, mut only) = (size.rounds, size.mib, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--rounds" => rounds = arguments.next().unwrap().parse().unwrap(),
            "--snapshot-mib" => mib = arguments.next().unwrap().parse().unwrap(),
            "--dir" => dir = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next(),
            // Arguments that cargo adds.
            _ => {}
        }
    }
    let is_asked_for = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let parent = dir.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let dir = tempfile::tempdir_in(parent).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if is_asked_for("execute") {
            execute_beside_append(dir.path(), rounds, size).await;
        }
        if is_asked_for("snapshot") {
            snapshot_under_load(dir.path(), mib, size).await;
        }
        if is_asked_for("start") {
            starts(dir.path(), size).await;
        }
    });
}

/// How much to measure, and for how long.
struct Size {
    rounds: usize,
    round: Duration,
    alone: Duration,
    snapshots: usize,
    mib: u64,
    /// The MiB of state, and the records after a snapshot, for which a start is measured.
    states: &'static [u64],
    records: &'static [u64],
}

const FULL: Size = Size {
    rounds: 9,
    round: Duration::from_millis(600),
    alone: Duration::from_secs(3),
    snapshots: 5,
    mib: 1024,
    states: &[1, 100, 1000],
    records: &[0, 100_000, 1_000_000],
};

const SMALL: Size = Size {
    rounds: 1,
    round: Duration::from_millis(20),
    alone: Duration::from_millis(20),
    snapshots: 1,
    mib: 4,
    states: &[1],
    records: &[0, 1000],
};
