//! Archive on against off under full append load: what shipping costs the appends.
//!
//!     cargo bench -p tidewal-benches --bench archive -- [--rounds N] [--seconds N]
//!
//! Each round runs the same load three times, each on a fresh log, in an order that turns from round to
//! round: without an archiver (`off`), with one that ships to memory (`memory`), which is what reading
//! and checksums cost, and with one that ships to a directory beside the log (`directory`), which takes
//! the disk's bandwidth as well, as no remote store would. 64 producers append one record at a time, and
//! truncate what is older than four segments. Reported are appends per second and the time of an
//! append, and the ratio to `off` of the same round: median (smallest..largest).
//!
//! An archiver that falls behind makes a run cheaper, not more expensive. So each line also says which part of
//! what was complete was in the archive when the load ended. `TIDEWAL_BENCH_DIR` says on which disk, if
//! not on that of `target/`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tidewal::{Lsn, Wal};
use tidewal_archive::{Archive, ArchiveOptions, Archiver};
use tidewal_benches::{KIB, MIB, is_test, scratch, size_name};

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let scale = Scale::from_args();
    println!(
        "{} rounds of {:?} each; {PRODUCERS} producers, segments of {} MiB",
        scale.rounds,
        scale.slice,
        scale.segment / MIB as u64
    );
    for payload in [100, 4 * KIB, 64 * KIB] {
        let rounds: Vec<_> = (0..scale.rounds)
            .map(|round| runtime.block_on(run_round(&scale, payload, round)))
            .collect();
        report(payload, &rounds);
    }
}

struct Scale {
    rounds: usize,
    slice: Duration,
    segment: u64,
}

impl Scale {
    fn from_args() -> Self {
        if is_test() {
            return Self {
                rounds: 1,
                slice: Duration::from_millis(200),
                segment: MIB as u64,
            };
        }
        Self {
            rounds: usize::try_from(number("--rounds", 7)).expect("few rounds"),
            slice: Duration::from_secs(number("--seconds", 5)),
            segment: 64 * MIB as u64,
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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Destination {
    Off,
    Memory,
    Directory,
}

impl Destination {
    const ALL: [Self; 3] = [Self::Off, Self::Memory, Self::Directory];

    fn store(self, dir: &std::path::Path) -> Option<Arc<dyn ObjectStore>> {
        match self {
            Self::Off => None,
            Self::Memory => Some(Arc::new(InMemory::new())),
            Self::Directory => {
                let local = LocalFileSystem::new_with_prefix(dir);
                let local = local.expect("the scratch directory is there");
                Some(Arc::new(local.with_fsync(true)))
            }
        }
    }
}

/// What one run came to.
#[derive(Clone, Copy, Default)]
struct Figures {
    per_second: f64,
    median: Duration,
    p99: Duration,
    /// Of what was complete when the load ended.
    archived: f64,
}

/// One run of each kind, in an order that turns.
async fn run_round(scale: &Scale, payload: usize, round: usize) -> [Figures; 3] {
    let mut figures = [Figures::default(); 3];
    for turn in 0..3 {
        let index = (turn + round) % 3;
        figures[index] = run_once(scale, payload, Destination::ALL[index]).await;
    }
    figures
}

async fn run_once(scale: &Scale, payload: usize, archive: Destination) -> Figures {
    let (log, objects) = (scratch(), scratch());
    let options = Wal::options().segment_size(scale.segment);
    let wal = options.open(log.path()).await.expect("a log can be opened");
    let archiver = archive.store(objects.path()).map(|store| {
        let options = ArchiveOptions::new().max_held_bytes(u64::MAX);
        let archive = Archive::new(store, "bench");
        Archiver::start(&wal, &archive, options).expect("a log without an archiver")
    });
    let truncating = tokio::spawn(truncate(wal.clone(), 4 * scale.segment / payload as u64));
    let started = Instant::now();
    let until = started + scale.slice;
    let producers = (0..PRODUCERS).map(|_| tokio::spawn(produce(wal.clone(), payload, until)));
    let times = join_all(producers).await.into_iter();
    let mut times: Vec<_> = times
        .flat_map(|times| times.expect("a producer ends"))
        .collect();
    let seconds = started.elapsed().as_secs_f64();
    truncating.abort();
    let figures = figures(&mut times, seconds, &wal, archiver.as_ref());
    drop(archiver);
    wal.close().await.expect("the log closes");
    figures
}

async fn produce(wal: Wal, payload: usize, until: Instant) -> Vec<Duration> {
    let payload = Bytes::from(vec![7; payload]);
    let mut times = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        wal.append(payload.clone())
            .await
            .expect("an append succeeds");
        times.push(started.elapsed());
    }
    times
}

/// Keeps so many records, as a service with snapshots does.
async fn truncate(wal: Wal, kept: u64) {
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = wal.durable_lsn().get().saturating_sub(kept);
        if before > 0 {
            wal.truncate_before(Lsn::new(before))
                .await
                .expect("a truncation succeeds");
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure of a benchmark has few digits"
)]
fn figures(
    times: &mut [Duration],
    seconds: f64,
    wal: &Wal,
    archiver: Option<&Archiver>,
) -> Figures {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let shipped = archiver.map_or(0, |archiver| archiver.status().segments);
    let complete = wal.stats().segments.saturating_sub(1);
    Figures {
        per_second: times.len() as f64 / seconds,
        median: at(50),
        p99: at(99),
        archived: shipped as f64 / complete.max(1) as f64,
    }
}

fn report(payload: usize, rounds: &[[Figures; 3]]) {
    println!("\nrecords of {}", size_name(payload));
    for (index, archive) in Destination::ALL.into_iter().enumerate() {
        let spread = |value: &dyn Fn(&[Figures; 3]) -> f64| {
            let mut values: Vec<_> = rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            let (median, last) = (values[values.len() / 2], values[values.len() - 1]);
            (median, values[0], last)
        };
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (rate, _, _) = spread(&|round| round[index].per_second);
        let (ratio, least, most) = spread(&|round| round[index].per_second / round[0].per_second);
        let (median, _, _) = spread(&|round| micros(round[index].median));
        let (p99, _, _) = spread(&|round| micros(round[index].p99));
        let (archived, _, _) = spread(&|round| round[index].archived * 100.0);
        println!(
            "{:>9}: {rate:9.0}/s, ratio {ratio:.3} ({least:.3}..{most:.3}), \
             median {median:.0} us, p99 {p99:.0} us, archived {archived:.0} %",
            format!("{archive:?}").to_lowercase(),
        );
    }
}

const PRODUCERS: usize = 64;
