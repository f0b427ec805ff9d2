//! Sound logs, made by the log itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Durability, Error, Lsn, PendingAppend, Wal, WalOptions};

use super::check::{DIR, Reading, disk_with, files_on, options, read_files, run};
use super::files::{Entry, Files};
use super::input::Input;

/// A sound log.
#[derive(Debug)]
pub struct SoundLog {
    pub files: Files,
    /// What the log says about itself, which was found to be what it promised.
    pub reading: Reading,
    /// Every payload that was asked for, from LSN 1 on, whether it was acknowledged or not.
    pub asked: Vec<Vec<u8>>,
    /// The atomic batches among them.
    pub batches: Vec<RangeInclusive<u64>>,
}

impl SoundLog {
    /// Makes the log that the next bytes of the input describe. The same bytes make the same log.
    pub fn make(input: &mut Input) -> Rc<Self> {
        let ending = input.byte();
        let count = usize::from(input.byte() % (STEPS_MAX + 1));
        let steps: Vec<_> = (0..count).map(|_| (input.byte(), input.byte())).collect();
        Self::cached((ending, steps))
    }

    fn cached(plan: Plan) -> Rc<Self> {
        MADE.with_borrow_mut(|made| {
            if made.len() == CACHE_LEN_MAX {
                made.clear();
            }
            let log = made.entry(plan);
            let log = log.or_insert_with_key(|(ending, steps)| Rc::new(build(*ending, steps)));
            Rc::clone(log)
        })
    }
}

/// A log's ending and its steps: each a kind and a size.
type Plan = (u8, Vec<(u8, u8)>);

thread_local! {
    static MADE: RefCell<HashMap<Plan, Rc<SoundLog>>> = RefCell::default();
}

fn build(ending: u8, steps: &[(u8, u8)]) -> SoundLog {
    let disk = disk_with(&Files::new());
    disk.reseed(ending.into());
    let mut maker = Maker::new(disk.clone(), ending);
    run(async {
        let worked = maker.work(ending, steps).await;
        assert!(worked.is_ok() || disk.is_off(), "{worked:?}");
        // The log may be closing in the background.
        tokio::time::sleep(Duration::from_millis(1)).await;
    });
    if !is_closed(ending) {
        disk.restart(match ending >> 1 & 3 {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            _ => Survival::Random,
        });
    }
    let files = files_on(&disk);
    let reading = read_files(&files);
    maker.check(&reading);
    SoundLog {
        files,
        reading,
        asked: maker.asked,
        batches: maker.batches,
    }
}

/// Half of the logs are closed. The others lose power.
fn is_closed(ending: u8) -> bool {
    ending.is_multiple_of(2)
}

/// Makes a log, and knows what it was asked for and what it has promised.
struct Maker {
    disk: SimDisk,
    options: WalOptions,
    asked: Vec<Vec<u8>>,
    batches: Vec<RangeInclusive<u64>>,
    /// The last record that was acknowledged as durable.
    durable: u64,
    /// The highest mark below which records may be gone.
    truncated: u64,
}

impl Maker {
    fn new(disk: SimDisk, ending: u8) -> Self {
        Self {
            disk,
            options: options().spare_segments(usize::from(ending >> 3 & 1)),
            asked: Vec::new(),
            batches: Vec::new(),
            durable: 0,
            truncated: 1,
        }
    }

    /// The power goes in one of the last operations, if it goes.
    async fn work(&mut self, ending: u8, steps: &[(u8, u8)]) -> Result<(), Error> {
        let mut wal = self.options.clone().open_on(&self.disk, DIR).await?;
        let (last, steps) = steps.split_last().unwrap_or((&(0, 0), &[]));
        for step in steps {
            wal = self.step(wal, *step).await?;
        }
        if !is_closed(ending) {
            let more = u64::from(ending >> 4);
            self.disk.cut_power_at(self.disk.operations() + more);
        }
        wal = self.step(wal, *last).await?;
        if is_closed(ending) {
            return wal.close().await;
        }
        self.disk.cut_power();
        Ok(())
    }

    async fn step(&mut self, wal: Wal, (kind, size): (u8, u8)) -> Result<Wal, Error> {
        let size = usize::from(size);
        match kind % 9 {
            0 => self.append(&wal, size, Durability::Durable).await?,
            1 => self.append(&wal, 40 * size, Durability::Durable).await?,
            2 => self.append(&wal, size, Durability::Written).await?,
            3 => self.batch(&wal, 1 + size % 4, 8 * size).await?,
            4 => self.together(&wal, 1 + size % 8, size).await?,
            5 => tokio::time::sleep(Duration::from_millis(150)).await,
            6 => {
                self.truncated = self
                    .truncated
                    .max((self.durable + 1).saturating_sub(size as u64));
                wal.truncate_before(Lsn::new(self.truncated)).await?;
            }
            7 => {
                wal.close().await?;
                return self.options.clone().open_on(&self.disk, DIR).await;
            }
            _ => self.append(&wal, 12_000, Durability::Durable).await?,
        }
        Ok(wal)
    }

    /// Payloads differ from record to record, and from sector to sector of one.
    fn ask(&mut self, len: usize) -> Vec<u8> {
        let number = self.asked.len();
        let byte = |at: usize| u8::try_from((number * 31 + at / 64 + at) % 251).unwrap();
        let payload: Vec<_> = (0..len).map(byte).collect();
        self.asked.push(payload.clone());
        payload
    }

    fn note(&mut self, lsn: Lsn) {
        self.durable = lsn.get();
        assert!(self.durable <= self.asked.len() as u64);
    }

    async fn append(&mut self, wal: &Wal, len: usize, level: Durability) -> Result<(), Error> {
        let payload = self.ask(len);
        let lsn = wal.append_with(payload, level).await?;
        assert_eq!(lsn.get(), self.asked.len() as u64);
        if level == Durability::Durable {
            self.note(lsn);
        }
        Ok(())
    }

    async fn batch(&mut self, wal: &Wal, count: usize, len: usize) -> Result<(), Error> {
        let first = self.asked.len() as u64 + 1;
        let payloads: Vec<_> = (0..count).map(|_| self.ask(len)).collect();
        self.batches.push(first..=self.asked.len() as u64);
        let lsns = wal.append_batch(payloads).await?;
        assert_eq!(
            Some(&lsns),
            self.batches.last().map(first_and_last).as_ref()
        );
        self.note(*lsns.end());
        Ok(())
    }

    async fn together(&mut self, wal: &Wal, count: usize, len: usize) -> Result<(), Error> {
        let mut pending: Vec<PendingAppend> = Vec::new();
        for _ in 0..count {
            let payload = self.ask(len);
            pending.push(wal.submit(payload).await?);
        }
        for answer in pending {
            let lsn = answer.await?;
            self.note(lsn);
        }
        Ok(())
    }

    /// Every acknowledged record is there, and no record that was never appended.
    fn check(&self, reading: &Reading) {
        let end = reading.outcome.as_ref().expect("the log is sound").lsn;
        assert!(end >= self.durable, "it was acknowledged");
        assert!(reading.oldest <= self.truncated, "it was not truncated");
        check_entries(&reading.records, &self.asked);
    }
}

/// Nothing but what was asked for.
pub fn check_entries(records: &[Entry], asked: &[Vec<u8>]) {
    for (lsn, payload) in records {
        let index = usize::try_from(lsn - 1).unwrap();
        assert_eq!(asked.get(index), Some(payload), "record {lsn}");
    }
}

fn first_and_last(batch: &RangeInclusive<u64>) -> RangeInclusive<Lsn> {
    Lsn::new(*batch.start())..=Lsn::new(*batch.end())
}

const STEPS_MAX: u8 = 12;
const CACHE_LEN_MAX: usize = 128;
