//! A log on a mounted image that becomes full.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidewal::{Error, Lsn, Record, Wal, WalOptions};

use crate::ballast::Ballast;
use crate::tools::{Kind, Mounted, Unavailable};
use tidewal_testing::kill::campaign::{Campaign, Death, Trouble};
use tidewal_testing::kill::history::Loss;
use tidewal_testing::kill::{block_on, read, seed};

/// A mounted image.
pub struct Volume {
    kind: Kind,
    // Fields are dropped in this order.
    mounted: Option<Mounted>,
    dir: TempDir,
}

impl Volume {
    pub fn new(kind: Kind) -> Result<Self, Unavailable> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        kind.make(&dir.path().join("image"))?;
        let mut volume = Self {
            kind,
            mounted: None,
            dir,
        };
        volume.mounted = Some(volume.mount()?);
        Ok(volume)
    }

    fn mount(&self) -> Result<Mounted, Unavailable> {
        Mounted::image(&self.kind, &self.dir.path().join("image"), &self.path())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Unmounts and mounts it again, so later reads come from the device.
    fn remount(&mut self) {
        self.mounted = None;
        self.mounted = Some(self.mount().unwrap());
    }

    /// Lives on a disk with room, then on a full one, and one more afterwards.
    pub fn survives_kill_9(mut self) {
        let mut campaign = Campaign::new(&self.log(), seed(), KEEP, Trouble::None);
        for _ in 0..LIVES {
            let death = Death::by_chance(&mut campaign.random);
            self.live(&mut campaign, death);
        }
        let ballast = Ballast::put(&self.path(), 2 << 20);
        let copies_on_write = self.kind.copies_on_write;
        campaign.meet(Trouble::FullDisk { copies_on_write }, 0);
        for _ in 0..LIVES {
            let errors = 1 + campaign.random.of_any_size(9);
            self.live(&mut campaign, Death::Full(errors));
        }
        ballast.remove();
        campaign.meet(Trouble::None, KEEP);
        self.live(&mut campaign, Death::Acknowledged(500, Duration::ZERO));
        let counts = campaign.history.counts;
        println!("{}: {counts:?}", self.kind.name);
        assert!(counts.full + counts.failed > 0, "the disk was never full");
    }

    /// One life and a check of the result, every second time after a remount.
    fn live(&mut self, campaign: &mut Campaign, death: Death) {
        campaign.live(death);
        campaign.check(Loss::Nothing);
        if campaign.random.below(2) == 0 {
            self.remount();
            campaign.check(Loss::Nothing);
        }
    }

    /// P5 on a file system that writes in place. Records that fit into the open segment are
    /// appended. Appends that need another segment fail, are certainly not appended, and work again
    /// once there is room, without reopening the log.
    pub fn fails_only_what_does_not_fit(mut self) {
        for spares in 0..=2 {
            let mut ledger = Ledger::default();
            block_on(self.fill_and_go_on(spares, &mut ledger));
            self.remount();
            ledger.check(&read(&self.log()).unwrap().0);
            fs::remove_dir_all(self.log()).unwrap();
        }
    }

    async fn fill_and_go_on(&self, spares: usize, ledger: &mut Ledger) {
        let options = options().spare_segments(spares);
        let wal = options.open(self.log()).await.unwrap();
        ledger.fill_segments(&wal, 6).await;
        let ballast = Ballast::put(&self.path(), 0);
        ledger.append_until_full(&wal).await;
        ledger.append_only_what_fits(&wal, spares).await;

        wal.truncate_before(ledger.end().next()).await.unwrap();
        ledger.fill_segments(&wal, 1).await;
        ledger.append_until_full(&wal).await;
        ledger.append_only_what_fits(&wal, spares).await;

        ballast.remove();
        ledger.fill_segments(&wal, 3).await;
        wal.close().await.unwrap();
    }

    /// A log that is closed and reopened on a full disk.
    pub fn opens_while_full(mut self) {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            block_on(async {
                let wal = options().open(self.log()).await.unwrap();
                ledger.fill_segments(&wal, 3).await;
                let ballast = Ballast::put(&self.path(), 0);
                wal.close().await.unwrap();
                ledger.check(&reading(&self.log()).await);

                let wal = options().open(self.log()).await.unwrap();
                // Closing has freed the unused space of the last segment.
                ledger.append_until_full(&wal).await;
                ballast.remove();
                ledger.fill_segments(&wal, 1).await;
                wal.close().await.unwrap();
            });
            self.remount();
            ledger.check(&read(&self.log()).unwrap().0);
        }
    }

    /// The same on a copy-on-write file system: a full disk may end the log. It can still be read,
    /// and opened again once there is room.
    pub fn loses_nothing(mut self) {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            block_on(async {
                let wal = options().open(self.log()).await.unwrap();
                ledger.fill_segments(&wal, 6).await;
                let ballast = Ballast::put(&self.path(), 0);
                ledger.append_until_failure(&wal).await;
                // A poisoned log is closed with an error.
                let _ = wal.close().await;
                ledger.check(&reading(&self.log()).await);
                ballast.remove();
            });
            self.remount();
            ledger.check(&read(&self.log()).unwrap().0);
        }
    }
}

/// One producer, and the answers that it got.
#[derive(Default)]
struct Ledger {
    asked: u64,
    acknowledged: BTreeMap<Lsn, Vec<u8>>,
    /// Appends whose outcome is unknown.
    unknown: Vec<Vec<u8>>,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Done,
    Full,
    Poisoned,
}

impl Ledger {
    /// Appends records of these sizes as one batch.
    async fn append(&mut self, wal: &Wal, sizes: &[usize]) -> Outcome {
        let payloads: Vec<_> = sizes.iter().map(|size| self.payload(*size)).collect();
        let appended = wal.append_batch(payloads.clone()).await;
        match appended {
            Ok(lsns) => {
                assert_eq!(*lsns.start(), self.end().next(), "what failed takes no LSN");
                let lsns = (lsns.start().get()..).map(Lsn::new);
                self.acknowledged.extend(lsns.zip(payloads));
                Outcome::Done
            }
            Err(Error::StorageFull(_)) => Outcome::Full,
            Err(error @ (Error::Poisoned(_) | Error::OutcomeUnknown(_))) => {
                println!("{error:?}");
                if error.is_outcome_unknown() {
                    self.unknown.extend(payloads);
                }
                Outcome::Poisoned
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn payload(&mut self, size: usize) -> Vec<u8> {
        self.asked += 1;
        let mut payload = self.asked.to_le_bytes().repeat(size / 8 + 1);
        payload.truncate(size);
        payload
    }

    /// The last LSN that was acknowledged.
    fn end(&self) -> Lsn {
        let last = self.acknowledged.keys().next_back();
        last.copied().unwrap_or(Lsn::ZERO)
    }

    /// Appends `count` records, each of which takes a segment and leaves room in it for small ones.
    async fn fill_segments(&mut self, wal: &Wal, count: u64) {
        for _ in 0..count {
            assert_eq!(self.append(wal, &[LARGE]).await, Outcome::Done);
        }
    }

    /// Only small records fit, unless a spare segment becomes ready.
    async fn append_only_what_fits(&mut self, wal: &Wal, spares: usize) {
        for large in [&[LARGE][..], &[LARGE / 2, LARGE / 2], &[LARGE]] {
            let outcome = self.append(wal, large).await;
            let is_spare = outcome == Outcome::Done && spares > 0;
            assert!(outcome == Outcome::Full || is_spare, "{outcome:?}");
            assert_eq!(self.append(wal, &[SMALL]).await, Outcome::Done);
        }
    }

    async fn append_until_full(&mut self, wal: &Wal) {
        let outcome = self.append_until_failure(wal).await;
        assert_eq!(outcome, Outcome::Full);
    }

    async fn append_until_failure(&mut self, wal: &Wal) -> Outcome {
        for _ in 0..100 {
            let outcome = self.append(wal, &[LARGE]).await;
            if outcome != Outcome::Done {
                return outcome;
            }
        }
        panic!("the disk does not get full");
    }

    /// Checks that every acknowledged record is in the log, from its beginning on, and nothing else
    /// except appends with unknown outcomes.
    fn check(&mut self, records: &[Record]) {
        let first = records.first().expect("a segment is always kept").lsn;
        assert_eq!(
            records.last().map(|last| last.lsn >= self.end()),
            Some(true)
        );
        let lsns = (first.get()..).map(Lsn::new);
        for (record, lsn) in records.iter().zip(lsns) {
            assert_eq!(record.lsn, lsn, "P2");
            match self.acknowledged.get(&lsn) {
                Some(payload) => assert_eq!(record.payload, payload, "P1: LSN {lsn}"),
                None => self.adopt(record),
            }
        }
    }

    /// Resolves a record whose outcome was unknown.
    fn adopt(&mut self, record: &Record) {
        let payload = record.payload.to_vec();
        assert!(
            self.unknown.contains(&payload),
            "{} was never appended",
            record.lsn
        );
        self.unknown.retain(|unknown| *unknown != payload);
        self.acknowledged.insert(record.lsn, payload);
    }
}

fn options() -> WalOptions {
    Wal::options().segment_size(64 * 1024).spare_segments(0)
}

/// [`read`], from a runtime.
async fn reading(dir: &Path) -> Vec<Record> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&dir));
    read.await.unwrap().unwrap().0
}

const LIVES: usize = 6;
const KEEP: u64 = 1000;
const LARGE: usize = 40_000;
const SMALL: usize = 1000;
