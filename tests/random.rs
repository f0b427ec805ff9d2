//! Random workloads, power cuts at random places, random survivors, three generations deep: also while
//! a crash is being recovered from (promises P1 to P4).
//!
//!     TIDEWAL_SEEDS=100000 cargo test --release --test random -- --nocapture

mod support;

use std::time::Duration;

use support::{DIR, Journal, Step, drive, recover_and_check, run};
use tidewal::sim::{SimDisk, Survival};
use tidewal::{SyncPolicy, Wal, WalOptions};

/// How many workloads are run: `TIDEWAL_SEEDS`, or a number that suits every day.
fn seeds() -> u64 {
    let asked = std::env::var("TIDEWAL_SEEDS").ok();
    asked.map_or(1500, |seeds| {
        seeds.parse().expect("TIDEWAL_SEEDS is a number")
    })
}

/// A small generator, so that a seed means the same run for ever.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        // Xorshift64* (Vigna 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn len(&mut self) -> usize {
        let most = [30, 600, 5000, 12_000][usize::try_from(self.roll(4)).unwrap()];
        usize::try_from(self.roll(most)).unwrap()
    }

    fn count(&mut self, most: u64) -> usize {
        usize::try_from(1 + self.roll(most)).unwrap()
    }
}

/// Not `Manual`: a durable append would wait for a sync that nobody asks for.
fn random_options(dice: &mut Dice) -> WalOptions {
    let policy = match dice.roll(2) {
        0 => SyncPolicy::Always,
        _ => SyncPolicy::Interval(Duration::from_micros(1 + dice.roll(5000))),
    };
    common(dice).sync_policy(policy)
}

fn common(dice: &mut Dice) -> WalOptions {
    Wal::options()
        .segment_size(16 * 1024 + dice.roll(3) * 5000)
        .spare_segments(dice.count(3) - 1)
        .max_batch_records(dice.count(20))
        .queue_bytes(dice.count(30_000))
        .queue_records(dice.count(20))
}

fn random_step(dice: &mut Dice) -> Step {
    match dice.roll(16) {
        0..=4 => Step::Append(dice.len()),
        5 => Step::Written(dice.len()),
        6 => Step::Batch(dice.count(4), dice.len() / 4),
        7..=9 => Step::Together(dice.count(12), dice.len() / 3),
        10 => Step::Sync,
        11..=12 => Step::Truncate(dice.roll(8)),
        13 => Step::Idle,
        14 => Step::Reopen,
        _ => Step::Drop,
    }
}

/// Says which seed failed, however it did.
struct Seed(u64);

impl std::ops::Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {} failed", self.0);
        }
    }
}

/// One workload: as many lives as it takes until the power was cut three times.
fn live_and_die(seed: u64) -> u64 {
    let _named = Seed(seed);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let disk = SimDisk::new(seed);
    let mut journal = Journal::default();
    let mut cuts = 0;
    for life in 0..4 {
        let options = random_options(&mut dice);
        let steps: Vec<_> = (0..dice.count(25))
            .map(|_| random_step(&mut dice))
            .collect();
        // Often early enough to hit the recovery.
        let reach = if dice.roll(2) == 0 { 12 } else { 120 };
        if life < 3 {
            disk.cut_power_at(disk.operations() + dice.roll(reach));
        }
        cuts += u64::from(one_life(&disk, &options, &steps, &mut journal, seed));
        disk.restart(Survival::Random);
    }
    cuts
}

/// Opens the log, works until the power goes, and says whether it did.
fn one_life(
    disk: &SimDisk,
    options: &WalOptions,
    steps: &[Step],
    journal: &mut Journal,
    seed: u64,
) -> bool {
    run(async {
        let work = async {
            let wal = recover_and_check(disk, options, journal).await?;
            drive(disk, options, wal, steps, journal).await
        };
        let outcome = tokio::time::timeout(Duration::from_secs(3600), work).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("seed {seed}: it hangs in {DIR}"));
        if let Err(error) = &outcome {
            assert!(disk.is_off(), "P4: seed {seed}: {error}: {error:?}");
        }
        drop(outcome);
        tokio::time::sleep(Duration::from_millis(1)).await;
        disk.is_off()
    })
}

#[test]
fn random_lives_and_deaths() {
    let cuts: u64 = (0..seeds()).map(live_and_die).sum();
    println!("{} workloads, {cuts} power cuts", seeds());
    assert!(cuts > seeds(), "most lives end with a power cut");
}
