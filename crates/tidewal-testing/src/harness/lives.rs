//! Random workloads and options; machines that lose their power at random places, and processes that
//! are killed at random moments; four lives in a row, also while a crash is being recovered from.

use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{SyncPolicy, Wal, WalOptions};

use crate::harness::dice::Dice;
use crate::harness::journal::Journal;
use crate::harness::steps::{Driver, Step};
use crate::harness::{Label, note_trial};
use crate::support::run;

/// How lives ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaths {
    /// The machine lost its power.
    pub cuts: u64,
    /// The process was killed.
    pub kills: u64,
}

/// Lives through one workload: four lives, of which all but the last may end early.
pub fn live_and_die(seed: u64, deaths: &mut Deaths) {
    let _label = Label(format!("seed {seed}"));
    let mut dice = Dice::new(seed);
    let disk = SimDisk::new(seed);
    disk.set_fsync_persists_name(dice.once_in(4));
    let mut journal = Journal::default();
    for life in 0..4 {
        let (policy, options) = random_options(&mut dice);
        let steps: Vec<_> = (0..dice.count(25))
            .map(|_| random_step(&mut dice))
            .collect();
        plan_mishaps(&disk, &mut dice);
        let end = if life < 3 {
            random_end(&mut dice)
        } else {
            End::Peaceful
        };
        let mut driver = Driver::new(&disk, &options, &mut journal);
        driver.is_manual = policy == SyncPolicy::Manual;
        one_life(driver, &steps, end);
        deaths.cuts += u64::from(disk.is_off());
        deaths.kills += u64::from(matches!(end, End::Kill(_)));
        note_trial();
        if !matches!(end, End::Kill(_)) {
            journal.forget_written();
            disk.restart(Survival::Random);
        }
    }
}

/// How a life is to end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With the work.
    Peaceful,
    /// The power goes after so many operations.
    Cut(u64),
    /// The process is killed after so long: the machine, and what it has cached, lives on.
    Kill(Duration),
}

fn random_end(dice: &mut Dice) -> End {
    // Often early enough to hit the recovery.
    let reach = if dice.once_in(2) { 12 } else { 120 };
    if dice.once_in(4) {
        End::Kill(Duration::from_micros(dice.roll(reach * 100)))
    } else {
        End::Cut(dice.roll(reach))
    }
}

fn random_options(dice: &mut Dice) -> (SyncPolicy, WalOptions) {
    let policy = match dice.roll(5) {
        0 | 1 => SyncPolicy::Always,
        2 => SyncPolicy::Manual,
        _ => SyncPolicy::Interval(Duration::from_micros(1 + dice.roll(5000))),
    };
    let options = Wal::options()
        .sync_policy(policy)
        .segment_size(16 * 1024 + dice.roll(3) * 5000)
        .spare_segments(dice.count(3) - 1)
        .max_batch_records(dice.count(20))
        .max_batch_bytes(dice.count(20_000))
        .queue_bytes(dice.count(30_000))
        .queue_records(dice.count(20));
    (policy, options)
}

fn random_step(dice: &mut Dice) -> Step {
    match dice.roll(18) {
        0..=4 => Step::Append(dice.len()),
        5 => Step::Written(dice.len()),
        6 => Step::Batch(dice.count(4), dice.len() / 4),
        7..=9 => Step::Together(dice.count(12), dice.len() / 3),
        10 => Step::Cancelled(dice.count(6), dice.len() / 3),
        11 => Step::Sync,
        12..=13 => Step::Truncate(dice.roll(8)),
        14 => Step::Idle,
        15..=16 => Step::Reopen,
        _ => Step::Drop,
    }
}

/// Nothing that is an error: calls that are short, are interrupted, or take long.
fn plan_mishaps(disk: &SimDisk, dice: &mut Dice) {
    disk.set_sync_time(Duration::from_micros(dice.roll(3) * 100));
    disk.short_io(Operation::Read, dice.roll(50));
    disk.short_io(Operation::Write, dice.roll(50));
    disk.fail(
        Operation::Write,
        dice.roll(50),
        std::io::ErrorKind::Interrupted,
    );
    disk.stall(dice.roll(20), Duration::from_millis(dice.roll(200)));
}

/// Opens the log, works until the end comes, and lets the log close if it can.
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
