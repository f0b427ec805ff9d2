//! Random workloads and options, with power cuts at random operations and kills at random moments,
//! also during the recovery from a crash. Four lives in a row.

use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{SyncPolicy, Wal, WalOptions};

use crate::harness::followers::{Followed, Paces};
use crate::harness::holder::{Events, Holder};
use crate::harness::oracle::Oracle;
use crate::harness::rng::Rng;
use crate::harness::steps::{Driver, Step};
use crate::harness::{Label, note_trial};
use crate::support::run;

/// The ends of lives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaths {
    /// Power cuts.
    pub cuts: u64,
    /// Kills.
    pub kills: u64,
    /// The rare events of holds.
    pub holds: Events,
}

/// Runs one workload in four lives, of which all but the last may end early.
pub fn live_and_die(seed: u64, deaths: &mut Deaths) {
    let _label = Label(format!("seed {seed}"));
    let mut rng = Rng::new(seed);
    let disk = SimDisk::new(seed);
    disk.set_fsync_persists_name(rng.once_in(4));
    disk.set_refuses_shared_reads(true);
    let mut oracle = Oracle::default();
    // In half of the workloads. It has random numbers of its own, so it does not change the others.
    let mut holder = (seed % 2 == 1).then(|| Holder::new(!seed));
    for life in 0..4 {
        let (policy, options) = random_options(&mut rng);
        let steps: Vec<_> = (0..rng.count(25)).map(|_| random_step(&mut rng)).collect();
        plan_faults(&disk, &mut rng);
        let end = if life < 3 {
            random_end(&mut rng)
        } else {
            End::Peaceful
        };
        let mut driver = Driver::new(&disk, &options, &mut oracle);
        driver.is_manual = policy == SyncPolicy::Manual;
        if let Some(holder) = &mut holder {
            holder.begin(driver.oracle);
            driver.holder = Some(holder);
        }
        let followed = Followed::default();
        let seed = rng.roll(u64::MAX);
        driver.followers = rng
            .once_in(2)
            .then(|| (followed.clone(), Paces::Random(Rng::new(seed))));
        one_life(driver, &steps, end);
        oracle.note_followed(followed.take(), disk.is_off());
        deaths.cuts += u64::from(disk.is_off());
        deaths.kills += u64::from(matches!(end, End::Kill(_)));
        note_trial();
        if !matches!(end, End::Kill(_)) {
            oracle.forget_written();
            disk.restart(Survival::Random);
        }
    }
    if let Some(holder) = holder {
        deaths.holds.add(holder.events);
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// When the work is done.
    Peaceful,
    /// The power is cut after this many operations.
    Cut(u64),
    /// The process is killed after this time. The machine and its cache stay.
    Kill(Duration),
}

fn random_end(rng: &mut Rng) -> End {
    // Often early enough to interrupt the recovery.
    let reach = if rng.once_in(2) { 12 } else { 120 };
    if rng.once_in(4) {
        End::Kill(Duration::from_micros(rng.roll(reach * 100)))
    } else {
        End::Cut(rng.roll(reach))
    }
}

fn random_options(rng: &mut Rng) -> (SyncPolicy, WalOptions) {
    let policy = match rng.roll(5) {
        0 | 1 => SyncPolicy::Always,
        2 => SyncPolicy::Manual,
        _ => SyncPolicy::Interval(Duration::from_micros(1 + rng.roll(5000))),
    };
    let options = Wal::options()
        .sync_policy(policy)
        .segment_size(16 * 1024 + rng.roll(3) * 5000)
        .spare_segments(rng.count(3) - 1)
        .max_batch_records(rng.count(20))
        .max_batch_bytes(rng.count(20_000))
        .queue_bytes(rng.count(30_000))
        .queue_records(rng.count(20))
        .follow_buffer_bytes(rng.count(40_000))
        .follow_rotate_interval(Duration::from_micros(rng.roll(20) * 100));
    (policy, options)
}

fn random_step(rng: &mut Rng) -> Step {
    match rng.roll(19) {
        0..=4 => Step::Append(rng.len()),
        5 => Step::Written(rng.len()),
        6 => Step::Batch(rng.count(4), rng.len() / 4),
        7..=9 => Step::Together(rng.count(12), rng.len() / 3),
        10 => Step::Cancelled(rng.count(6), rng.len() / 3),
        11 => Step::Sync,
        12..=13 => Step::Truncate(rng.roll(8)),
        18 => Step::Rotate,
        14 => Step::Idle,
        15..=16 => Step::Reopen,
        _ => Step::Drop,
    }
}

/// Plans events that are not errors: short, interrupted and slow calls.
fn plan_faults(disk: &SimDisk, rng: &mut Rng) {
    disk.set_sync_time(Duration::from_micros(rng.roll(3) * 100));
    disk.short_io(Operation::Read, rng.roll(50));
    disk.short_io(Operation::Write, rng.roll(50));
    disk.fail(
        Operation::Write,
        rng.roll(50),
        std::io::ErrorKind::Interrupted,
    );
    disk.stall(rng.roll(20), Duration::from_millis(rng.roll(200)));
}

/// Opens the log, works until the end, and lets the log close if it can.
fn one_life(mut driver: Driver<'_>, steps: &[Step], end: End) {
    let disk = driver.disk;
    if let End::Cut(after) = end {
        disk.cut_power_at(disk.operations() + after);
    }
    run(async {
        let work = async {
            let wal = driver.recover().await?;
            driver.go_on(wal, steps).await
        };
        let outcome = match end {
            End::Kill(after) => match tokio::time::timeout(after, work).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            },
            End::Peaceful | End::Cut(_) => work.await,
        };
        if let Err(error) = &outcome {
            assert!(disk.is_off(), "P4: {end:?}: {error}: {error:?}");
        }
        drop(outcome);
        tokio::time::sleep(Duration::from_millis(1)).await;
    });
}
