//! What the crash tests share: workloads, a journal of what was promised, and the checks of the
//! promises P1 to P4 (`docs/durability.md`).

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Durability, Error, Lsn, Record, SyncPolicy, Wal, WalOptions};

pub const DIR: &str = "log";

/// Small segments, so that a few records fill one.
pub fn options() -> WalOptions {
    Wal::options().segment_size(16 * 1024)
}

/// Longer than any test takes in virtual time.
const DOOMSDAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs a test in virtual time on one thread. One that would hang fails instead.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(DOOMSDAY, test)
            .await
            .expect("the test hangs")
    })
}

/// One step of a workload.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// One append of so many bytes.
    Append(usize),
    /// The same, acknowledged when written.
    Written(usize),
    /// An atomic batch of so many records of so many bytes.
    Batch(usize, usize),
    /// So many appends at once, of so many bytes each.
    Together(usize, usize),
    Sync,
    /// Truncate everything acknowledged so far but the last so many records.
    Truncate(u64),
    /// Let the log go idle.
    Idle,
    /// Close the log and open it again.
    Reopen,
    /// Drop the log and open it again.
    Drop,
}

/// What the log was asked for and what it promised.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Each append that was begun: its payloads.
    asked: Vec<Vec<Vec<u8>>>,
    /// Records that were acknowledged as durable, by LSN.
    pub durable: BTreeMap<Lsn, Vec<u8>>,
    /// The highest mark that `truncate_before` was asked for.
    mark: Lsn,
    /// The highest mark for which it has returned.
    truncated: Lsn,
}

impl Journal {
    fn ask(&mut self, count: usize, len: usize) -> Vec<Vec<u8>> {
        let number = self.asked.len();
        let payload = |index: usize| {
            let mut bytes = format!("{number}.{index}/").into_bytes();
            bytes.resize(len.max(bytes.len()), u8::try_from(number % 251).unwrap());
            bytes
        };
        let payloads: Vec<_> = (0..count).map(payload).collect();
        self.asked.push(payloads.clone());
        payloads
    }

    fn note(&mut self, first: Lsn, payloads: Vec<Vec<u8>>) {
        for (index, payload) in (0..).zip(payloads) {
            let lsn = Lsn::new(first.get() + index);
            assert!(
                self.durable.insert(lsn, payload).is_none(),
                "LSN {lsn} was given twice"
            );
        }
    }

    fn last(&self) -> Lsn {
        self.durable
            .keys()
            .next_back()
            .copied()
            .unwrap_or(Lsn::ZERO)
    }

    /// Checks what a recovery delivered against what was promised, and takes it for what stands: a
    /// record that was delivered once has to stay.
    pub fn check(&mut self, records: &[Record]) {
        for pair in records.windows(2) {
            assert_eq!(pair[0].lsn.next(), pair[1].lsn, "P2: LSNs are dense");
        }
        let delivered: BTreeMap<_, _> = records
            .iter()
            .map(|record| (record.lsn, record.payload.to_vec()))
            .collect();
        for (lsn, payload) in self.durable.range(self.mark..) {
            assert_eq!(
                delivered.get(lsn),
                Some(payload),
                "P1: record {lsn} was acknowledged"
            );
        }
        for (lsn, payload) in &delivered {
            if let Some(promised) = self.durable.get(lsn) {
                assert_eq!(payload, promised, "P1: record {lsn} has other bytes");
            }
        }
        if let Some(first) = records.first() {
            assert!(
                first.lsn <= self.mark.max(Lsn::FIRST),
                "a record above the mark was truncated"
            );
        }
        self.check_batches(&delivered);
        self.durable = delivered;
    }

    /// P3: whatever was asked for is there as a whole or not at all, and nothing else is there.
    fn check_batches(&self, delivered: &BTreeMap<Lsn, Vec<u8>>) {
        let lsns: BTreeMap<&[u8], Lsn> = delivered
            .iter()
            .map(|(lsn, payload)| (payload.as_slice(), *lsn))
            .collect();
        assert_eq!(
            lsns.len(),
            delivered.len(),
            "P1: a record was delivered twice"
        );
        let mut known = 0;
        for payloads in &self.asked {
            let found: Vec<_> = payloads
                .iter()
                .filter_map(|p| lsns.get(p.as_slice()))
                .collect();
            known += found.len();
            let oldest = delivered.keys().next().copied().unwrap_or(Lsn::ZERO);
            let truncated = found.first().is_some_and(|lsn| **lsn == oldest);
            assert!(
                found.is_empty() || found.len() == payloads.len() || truncated,
                "P3: a batch was delivered in part"
            );
            assert!(
                found.windows(2).all(|pair| pair[0].next() == *pair[1]),
                "P3: a batch in pieces"
            );
        }
        assert_eq!(known, delivered.len(), "a record that nobody appended");
    }
}

/// Runs steps until one fails. Returns the log if none did.
pub async fn drive(
    disk: &SimDisk,
    options: &WalOptions,
    mut wal: Wal,
    steps: &[Step],
    journal: &mut Journal,
) -> Result<Wal, Error> {
    for step in steps {
        match *step {
            Step::Append(len) => {
                let payloads = journal.ask(1, len);
                let lsn = wal.append(payloads[0].clone()).await?;
                journal.note(lsn, payloads);
            }
            Step::Written(len) => {
                let payloads = journal.ask(1, len);
                wal.append_with(payloads[0].clone(), Durability::Written)
                    .await?;
            }
            Step::Batch(count, len) => {
                let payloads = journal.ask(count, len);
                let lsns = wal.append_batch(payloads.clone()).await?;
                journal.note(*lsns.start(), payloads);
            }
            Step::Together(count, len) => together(&wal, count, len, journal).await?,
            Step::Sync => drop(wal.sync().await?),
            Step::Truncate(keep) => {
                let mark = Lsn::new((journal.last().get() + 1).saturating_sub(keep));
                journal.mark = journal.mark.max(mark);
                wal.truncate_before(mark).await?;
                journal.truncated = journal.truncated.max(mark);
            }
            Step::Idle => tokio::time::sleep(std::time::Duration::from_millis(150)).await,
            Step::Reopen => {
                wal.close().await?;
                wal = options.clone().open_on(disk, DIR).await?;
            }
            Step::Drop => {
                drop(wal);
                wal = options.clone().open_on(disk, DIR).await?;
            }
        }
    }
    Ok(wal)
}

async fn together(wal: &Wal, count: usize, len: usize, journal: &mut Journal) -> Result<(), Error> {
    let asked: Vec<_> = (0..count).map(|_| journal.ask(1, len)).collect();
    let answers = join_all(asked.iter().map(|payloads| wal.append(payloads[0].clone()))).await;
    let mut result = Ok(());
    for (payloads, answer) in asked.into_iter().zip(answers) {
        match answer {
            Ok(lsn) => journal.note(lsn, payloads),
            Err(error) => result = Err(error),
        }
    }
    result
}

/// Recovers the log and checks it against the journal. Returns it open.
pub async fn recover_and_check(
    disk: &SimDisk,
    options: &WalOptions,
    journal: &mut Journal,
) -> Result<Wal, Error> {
    let mut recovery = options.clone().recover_on(disk, DIR).await?;
    let mut records = Vec::new();
    while let Some(record) = recovery.try_next().await? {
        records.push(record);
    }
    journal.check(&records);
    recovery.into_wal().await
}

/// A workload whose power is cut at every operation, with every prefix of what was volatile
/// surviving, and some chance subsets of it.
pub struct Exhaustive {
    pub name: &'static str,
    pub options: WalOptions,
    pub steps: Vec<Step>,
    /// Chance subsets for each cut.
    pub samples: u64,
}

impl Exhaustive {
    /// Returns how many cuts were made.
    pub fn run(&self) -> u64 {
        let total = self.run_until(None).0.operations();
        (0..=total).map(|cut| self.cut_at(cut)).sum()
    }

    fn run_until(&self, cut: Option<u64>) -> (SimDisk, Journal) {
        run(async {
            let disk = SimDisk::new(cut.unwrap_or(0));
            if let Some(cut) = cut {
                disk.cut_power_at(cut);
            }
            let mut journal = Journal::default();
            let outcome = match self.options.clone().open_on(&disk, DIR).await {
                Ok(wal) => drive(&disk, &self.options, wal, &self.steps, &mut journal).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &outcome {
                assert!(
                    disk.is_off(),
                    "{}: nothing but the cut may fail: {error}",
                    self.name
                );
            }
            // The log may be closing in the background, which the cut may hit too.
            drop(outcome);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            (disk, journal)
        })
    }

    fn cut_at(&self, cut: u64) -> u64 {
        let (disk, journal) = self.run_until(Some(cut));
        let changes = disk.volatile_changes();
        let prefixes = (0..=changes).map(Survival::Prefix);
        let by_chance = (0..self.samples).map(|_| Survival::Random);
        let mut cuts = 0;
        for (index, survival) in prefixes.chain(by_chance).enumerate() {
            let label = format!("{}: cut {cut}, {survival:?}, number {index}", self.name);
            let disk = disk.fork();
            disk.reseed(index as u64);
            disk.restart(survival);
            self.continue_on(&disk, &mut journal.clone(), &label);
            cuts += 1;
        }
        cuts
    }

    /// Life goes on: recover, append, recover again.
    fn continue_on(&self, disk: &SimDisk, journal: &mut Journal, label: &str) {
        let outcome = run(async {
            let wal = recover_and_check(disk, &self.options, journal).await?;
            let more = [Step::Append(10), Step::Append(3000)];
            let wal = drive(disk, &self.options, wal, &more, journal).await?;
            wal.close().await?;
            recover_and_check(disk, &self.options, journal).await
        });
        if let Err(error) = outcome {
            panic!("P4: {label}: {error}: {error:?}");
        }
    }
}

/// Policies that a workload is run under.
pub fn policies() -> [SyncPolicy; 3] {
    let interval = std::time::Duration::from_millis(2);
    [
        SyncPolicy::Always,
        SyncPolicy::Interval(interval),
        SyncPolicy::Manual,
    ]
}
