//! Crash-tests a small service, not the log: a bank on a durable state machine.
//!
//!     cargo run --release -p tidewal-state --example crash_test_your_service [SEEDS]
//!
//! The service runs on a simulated disk. In the run of each seed, customers move money and
//! snapshots are taken. The power is cut at some operation of the disk, and a random subset of the
//! unsynced changes survives. Then the service starts again. No confirmed transfer may be missing,
//! and no money may be lost or created. The same seed gives the same run, so a failure can be
//! reproduced.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::{Json, Logged};
use tidewal::{Lsn, Wal};
use tidewal_state::{Result, SnapshotPolicy, State, StateMachine};

const ACCOUNTS: u64 = 4;
const OPENING_BALANCE: i64 = 100;

/// The whole service. The state machine takes care of durability and order.
#[derive(Clone, Deserialize, Serialize)]
struct Bank {
    balances: BTreeMap<u64, i64>,
    /// The numbers of the transfers that were made.
    transfers: BTreeSet<u64>,
}

#[derive(Deserialize, Serialize)]
struct Transfer {
    number: u64,
    from: u64,
    to: u64,
    amount: i64,
}

impl Default for Bank {
    fn default() -> Self {
        Self {
            balances: (0..ACCOUNTS).map(|id| (id, OPENING_BALANCE)).collect(),
            transfers: BTreeSet::new(),
        }
    }
}

impl Logged for Transfer {
    type Codec = Json;
}

impl State for Bank {
    type Command = Transfer;
    /// Whether there was enough money.
    type Output = bool;
    type Snapshot = Json;

    fn apply(&mut self, _: Lsn, transfer: Transfer) -> bool {
        let from = self.balances.entry(transfer.from).or_default();
        if *from < transfer.amount {
            return false;
        }
        *from -= transfer.amount;
        *self.balances.entry(transfer.to).or_default() += transfer.amount;
        self.transfers.insert(transfer.number)
    }
}

async fn open(disk: &SimDisk) -> Result<StateMachine<Bank>> {
    let policy = SnapshotPolicy::default()
        .every_records(10)
        .min_pause(Duration::ZERO);
    StateMachine::options()
        .log(Wal::options().segment_size(16 * 1024))
        .snapshots(policy)
        .open_on(disk, "bank")
        .await
}

fn main() -> ExitCode {
    let seeds = std::env::args()
        .nth(1)
        .map_or(Ok(3000), |seeds| seeds.parse());
    let Ok(seeds) = seeds else {
        eprintln!("usage: crash_test_your_service [SEEDS], a number");
        return ExitCode::FAILURE;
    };
    let started = Instant::now();
    let mut confirmed = 0;
    for seed in 0..seeds {
        match crash_once(seed) {
            Ok(count) => confirmed += count,
            Err(problem) => {
                println!("seed {seed}: {problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    let took = started.elapsed().as_secs_f64();
    println!("{seeds} power cuts in {took:.1} s: {confirmed} confirmed transfers, none was lost");
    ExitCode::SUCCESS
}

/// Runs one seed. Returns how many transfers were confirmed before the power was cut.
fn crash_once(seed: u64) -> std::result::Result<usize, String> {
    // Virtual time on one thread, so everything depends on the seed only.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let disk = SimDisk::new(seed);
        disk.cut_power_at(seed % 150);
        let confirmed = use_until_the_power_goes(&disk, seed).await;
        disk.restart(Survival::Random);
        let bank = open(&disk)
            .await
            .map_err(|error| format!("it does not start: {error}"))?;
        let checked = bank.query(|bank| check(bank, &confirmed));
        checked.map_err(|error| error.to_string())??;
        Ok(confirmed.len())
    })
}

/// Groups of three customers, each of which waits for its confirmation.
async fn use_until_the_power_goes(disk: &SimDisk, seed: u64) -> Vec<u64> {
    let mut confirmed = Vec::new();
    let Ok(bank) = open(disk).await else {
        return confirmed;
    };
    for round in (0..).take_while(|_| !disk.is_off()) {
        let customers = (0..3).map(|customer| {
            let number = round * 3 + customer;
            let transfer = Transfer {
                number,
                from: (seed + number) % ACCOUNTS,
                to: (seed + number + 1) % ACCOUNTS,
                amount: 10,
            };
            let transfer = bank.execute(transfer);
            async move {
                transfer
                    .await
                    .is_ok_and(|was_made| was_made)
                    .then_some(number)
            }
        });
        confirmed.extend(join_all(customers).await.into_iter().flatten());
    }
    confirmed
}

fn check(bank: &Bank, confirmed: &[u64]) -> std::result::Result<(), String> {
    let is_lost = |number: &&u64| !bank.transfers.contains(number);
    if let Some(lost) = confirmed.iter().find(is_lost) {
        return Err(format!("transfer {lost} was confirmed and is lost"));
    }
    let total: i64 = bank.balances.values().sum();
    let expected: i64 = bank.balances.keys().map(|_| OPENING_BALANCE).sum();
    if total != expected {
        return Err(format!(
            "the accounts hold {total} and should hold {expected}"
        ));
    }
    Ok(())
}
