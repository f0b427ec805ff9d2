//! The peak memory of a log. Each figure comes from a process that does nothing else: a process
//! that has done other work would reuse old memory, which would not be counted.

use std::process::Command;

use bytes::Bytes;
use clap::ValueEnum;
use tidewal::{Wal, WalOptions};
use tokio::task::JoinSet;

use crate::measure::SMALL;
use crate::measure::config::Scale;
use crate::measure::context::BenchContext;
use crate::measure::load::{self, Load, Timed};
use crate::measure::machine;
use crate::measure::scratch::{KIB, MIB};

/// The load of such a process.
#[derive(Clone, Copy, ValueEnum)]
pub enum Probe {
    Closed,
    Pipelined,
    Flood,
}

impl Probe {
    pub const ALL: [Self; 3] = [Self::Closed, Self::Pipelined, Self::Flood];

    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "64 producers, 100 B",
            Self::Pipelined => "4 producers, 1,024 in flight each, 100 B",
            Self::Flood => "4 producers that wait for no answer, 4 KiB, a queue of 8 MiB",
        }
    }

    fn options(self) -> WalOptions {
        match self {
            Self::Closed | Self::Pipelined => Wal::options(),
            Self::Flood => Wal::options()
                .queue_bytes(FLOOD_QUEUE)
                .max_batch_bytes(FLOOD_BATCH),
        }
    }

    /// The queue, up to twice the bytes of a batch, and what any log takes: code, stacks, and the
    /// zeros with which files are written ahead.
    pub fn bound(self) -> f64 {
        let bytes = match self {
            Self::Closed | Self::Pipelined => DEFAULT_QUEUE + 2 * DEFAULT_BATCH + FIXED,
            Self::Flood => FLOOD_QUEUE + 2 * FLOOD_BATCH + FIXED,
        };
        bytes as f64
    }

    fn argument(self) -> String {
        let value = self.to_possible_value().expect("every probe has a name");
        format!("--memory-probe={}", value.get_name())
    }
}

/// The number of arenas of the system's allocator.
///
/// With an arena for each thread, as in glibc, memory that one thread allocated and another freed
/// is not reused by a third, so a process holds more than it uses. With one arena, it holds little
/// more than the log uses.
#[derive(Clone, Copy)]
pub enum Arenas {
    One,
    AsTheyCome,
}

/// The peak memory of another process, minus what it had before it opened the log. `None` if the
/// system does not report it.
pub fn peak(context: &BenchContext, probe: Probe, arenas: Arenas) -> Option<f64> {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    if let Arenas::One = arenas {
        command.env("MALLOC_ARENA_MAX", "1");
    }
    let output = command
        .args(flags(context.scale))
        .arg(probe.argument())
        .arg(format!("--seconds={}", context.slice.as_secs_f64()))
        .arg("--dir")
        .arg(&context.dir)
        .output()
        .expect("this program can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the probe failed: {errors}");
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Runs in that process and prints the figure.
pub fn run_probe(context: &BenchContext, probe: Probe) {
    let dir = context.scratch();
    let before = resident("VmRSS");
    context.runtime.block_on(async {
        let wal = probe.options().open(dir.path()).await;
        let wal = wal.expect("an empty directory opens");
        put_load(context, probe, &wal).await;
        wal.close().await.expect("the log closes");
    });
    if let (Some(before), Some(peak)) = (before, resident("VmHWM")) {
        println!("{}", peak.saturating_sub(before));
    }
}

async fn put_load(context: &BenchContext, probe: Probe, wal: &Wal) {
    let load = |producers, in_flight| Load {
        in_flight,
        timed: Timed::Never,
        ..Load::new(producers, SMALL)
    };
    match probe {
        Probe::Closed => drop(load::run(wal, &load(64, 1), context.slice).await),
        Probe::Pipelined => drop(load::run(wal, &load(4, 1024), context.slice).await),
        Probe::Flood => {
            let records = context.scale.or_in_test(64 * KIB / 4, KIB);
            let producers: JoinSet<()> = (0..4).map(|_| flood(wal.clone(), records)).collect();
            producers.join_all().await;
        }
    }
}

/// Each payload has its own memory.
async fn flood(wal: Wal, records: usize) {
    for _ in 0..records {
        let submitted = wal.submit(Bytes::from(vec![0x5a; 4 * KIB])).await;
        drop(submitted.expect("the queue takes it"));
    }
}

/// In bytes.
fn resident(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: u64 = machine::field(&text, name)?
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kib * 1024)
}

/// The flags that give another process of this program the same scale.
fn flags(scale: Scale) -> &'static [&'static str] {
    match scale {
        Scale::Full => &["--bench"],
        Scale::Quick => &["--bench", "--quick"],
        Scale::Test => &["--test"],
    }
}

const FLOOD_QUEUE: usize = 8 * MIB;
const FLOOD_BATCH: usize = MIB;

/// The defaults of `queue_bytes` and `max_batch_bytes`.
const DEFAULT_QUEUE: usize = 64 * MIB;
const DEFAULT_BATCH: usize = 4 * MIB;
const FIXED: usize = 4 * MIB;
