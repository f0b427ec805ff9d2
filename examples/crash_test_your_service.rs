//! Crash-tests a small service, not the log: a bank whose state is what its log says.
//!
//!     cargo run --release --example crash_test_your_service [SEEDS]
//!
//! The service runs on a simulated disk. Each seed is one life and death: customers move money, the
//! power goes at some operation of the disk, any subset of what was not synced survives, the service
//! starts again. Then no transfer that was confirmed may be missing, and no money lost or made. The same
//! seed is the same run, so that a failure can be looked at again and again.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use futures::future::join_all;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Lsn, Result, Wal, WalOptions};

const ACCOUNTS: u64 = 4;
const OPENING_BALANCE: i64 = 1000;

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

/// The service: balances in memory, transfers in the log.
struct Bank {
    wal: Wal,
    balances: BTreeMap<u64, i64>,
    /// The transfers that are in the log, by their number.
    transfers: BTreeMap<u64, Lsn>,
}

impl Bank {
    async fn open(disk: &SimDisk) -> Result<Self> {
        let mut recovery = options().recover_on(disk, "bank").await?;
        let mut balances: BTreeMap<_, _> = (0..ACCOUNTS).map(|id| (id, OPENING_BALANCE)).collect();
        let mut transfers = BTreeMap::new();
        while let Some(record) = recovery.try_next().await? {
            // Each transfer is an atomic batch of two bookings, so both are there or none.
            let booking = Booking::decode(&record.payload);
            *balances.entry(booking.account).or_default() += booking.amount;
            transfers.insert(booking.transfer, record.lsn);
        }
        Ok(Self {
            wal: recovery.into_wal().await?,
            balances,
            transfers,
        })
    }

    /// Confirmed once it is on disk.
    async fn transfer(&self, transfer: u64, from: u64, to: u64, amount: i64) -> Result<()> {
        let debit = Booking {
            transfer,
            account: from,
            amount: -amount,
        };
        let credit = Booking {
            transfer,
            account: to,
            amount,
        };
        self.wal
            .append_batch([debit.encode(), credit.encode()])
            .await
            .map(drop)
    }
}

fn options() -> WalOptions {
    Wal::options().segment_size(16 * 1024)
}

struct Booking {
    transfer: u64,
    account: u64,
    amount: i64,
}

impl Booking {
    fn encode(&self) -> Vec<u8> {
        format!("{} {} {}", self.transfer, self.account, self.amount).into_bytes()
    }

    fn decode(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut words = text
            .split(' ')
            .map(|word| word.parse::<i64>().unwrap_or_default());
        let mut next = || words.next().unwrap_or_default();
        let (transfer, account, amount) = (next(), next(), next());
        Self {
            transfer: transfer.unsigned_abs(),
            account: account.unsigned_abs(),
            amount,
        }
    }
}

/// One life and death. Returns how many transfers were confirmed before the power went.
fn crash_once(seed: u64) -> std::result::Result<usize, String> {
    // Virtual time on one thread: nothing is left to chance but what the seed decides.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let disk = SimDisk::new(seed);
        disk.cut_power_at(seed % 90);
        let confirmed = use_until_the_power_goes(&disk, seed).await;
        disk.restart(Survival::Random);
        let bank = Bank::open(&disk)
            .await
            .map_err(|error| format!("it does not start: {error}"))?;
        check(&bank, &confirmed)?;
        Ok(confirmed.len())
    })
}

/// Customers in groups of three, each of whom waits for the confirmation.
async fn use_until_the_power_goes(disk: &SimDisk, seed: u64) -> Vec<u64> {
    let mut confirmed = Vec::new();
    let Ok(bank) = Bank::open(disk).await else {
        return confirmed;
    };
    for round in (0..).take_while(|_| !disk.is_off()) {
        let customers = (0..3).map(|customer| {
            let number = round * 3 + customer;
            let (from, to) = ((seed + number) % ACCOUNTS, (seed + number + 1) % ACCOUNTS);
            let bank = &bank;
            async move { bank.transfer(number, from, to, 10).await.map(|()| number) }
        });
        confirmed.extend(join_all(customers).await.into_iter().flatten());
    }
    confirmed
}

fn check(bank: &Bank, confirmed: &[u64]) -> std::result::Result<(), String> {
    if let Some(lost) = confirmed
        .iter()
        .find(|number| !bank.transfers.contains_key(number))
    {
        return Err(format!("transfer {lost} was confirmed and is lost"));
    }
    let total: i64 = bank.balances.values().sum();
    let expected = bank.balances.keys().map(|_| OPENING_BALANCE).sum::<i64>();
    if total != expected {
        return Err(format!(
            "the accounts hold {total} and should hold {expected}"
        ));
    }
    Ok(())
}
