//! Power cuts and failing writes under a file system.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidewal::{Durability, Error, SyncPolicy, Wal, WalOptions};

use crate::disk::{Disk, Plugged};
use crate::tools::{Kind, Unavailable, command, run};
use tidewal_testing::kill::campaign::{Campaign, Death, Trouble};
use tidewal_testing::kill::history::Loss;
use tidewal_testing::kill::{block_on, number, read, seed};

/// A log on a disk whose power can be cut.
pub struct Machine {
    kind: Kind,
    campaign: Campaign,
    // Fields are dropped in this order.
    plugged: Option<Plugged>,
    disk: Disk,
    mount: PathBuf,
    _dir: TempDir,
}

impl Machine {
    pub fn new(kind: Kind) -> Result<Self, Unavailable> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let disk = Disk::new(kind, dir.path())?;
        let mount = dir.path().join("mount");
        let plugged = Some(disk.plug(&mount)?);
        let campaign = Campaign::new(&mount.join("log"), seed(), 1000, Trouble::DeadDisk);
        Ok(Self {
            kind,
            campaign,
            plugged,
            disk,
            mount,
            _dir: dir,
        })
    }

    /// Cuts the power at some write or flush, while a child works or while it recovers the log of
    /// an earlier, killed child.
    pub fn lose_power(mut self) {
        let cuts = number("TIDEWAL_POWER_CUTS").unwrap_or(CUTS);
        for _ in 0..cuts {
            if self.campaign.random.below(3) == 0 {
                let death = Death::by_chance(&mut self.campaign.random);
                self.campaign.live(death);
                self.campaign.check(Loss::Nothing);
            }
            let operations = 1 + self.campaign.random.of_any_size(11);
            println!("the power is cut after {operations} operations");
            self.disk.cut_power_after(operations);
            self.campaign.live(Death::Failed(u64::MAX));
            self.restart();
        }
        self.report(&format!("{cuts} power cuts"));
    }

    /// Fails one write, continues from what can be read then, which may be in the system's cache
    /// only, and cuts the power.
    pub fn lose_writes(mut self) {
        let faults = number("TIDEWAL_POWER_CUTS").unwrap_or(CUTS);
        let mut survived = 0;
        for _ in 0..faults {
            let writes = self.campaign.random.of_any_size(9);
            println!("a write fails after {writes} others");
            self.disk.fail_after(writes);
            self.campaign.live(Death::Failed(1000));
            if self.is_usable() {
                self.campaign.check(Loss::Nothing);
                survived += 1;
                self.campaign.live(Death::Failed(1 + writes % 32));
            }
            self.disk.cut_power_after(0);
            self.restart();
        }
        self.report(&format!(
            "{faults} failed writes, {survived} of them survived"
        ));
    }

    /// A sync fails, and its record is in the system's cache only. If a log opens with that record,
    /// it must have made it durable.
    pub fn lose_one_write(mut self) {
        let log = self.mount.join("log");
        let read_before = block_on(async {
            let wal = options().open(&log).await.unwrap();
            wal.append(vec![b'a'; 10_000]).await.unwrap();
            self.disk.fail_after(0);
            let failed = wal.append(vec![b'b'; 10_000]).await;
            assert!(
                matches!(failed, Err(Error::OutcomeUnknown(_))),
                "{failed:?}"
            );
            drop(wal);
            let mut recovery = options().recover(&log).await.unwrap();
            let mut records = Vec::new();
            while let Some(record) = recovery.try_next().await.unwrap() {
                records.push(record);
            }
            recovery.into_wal().await.unwrap().close().await.unwrap();
            records
        });
        self.disk.cut_power_after(0);
        self.turn_on();
        let (records, _) = read(&log).expect("the log is sound");
        assert!(
            records == read_before,
            "it has lost what it was opened with"
        );
    }

    /// The journal cannot be written during another program's sync, when the log's data is on the
    /// disk and the log has not synced yet. Nothing is left to sync then, and the kernel may report
    /// success.
    pub fn abort_journal(mut self) {
        let aborted = (1..=6).filter(|&writes| self.abort_journal_after(writes));
        assert!(aborted.count() > 0, "no write of the journal was hit");
    }

    /// Returns whether the other program got the error.
    fn abort_journal_after(&mut self, writes: u64) -> bool {
        let log = self.mount.join(format!("log-{writes}"));
        let other = File::create(self.mount.join(format!("other-{writes}"))).unwrap();
        other.write_all_at(&[1; 4096], 0).unwrap();
        other.sync_all().unwrap();
        let (disk, mut is_aborted) = (&self.disk, false);
        let synced = block_on(async {
            let wal = options()
                .sync_policy(SyncPolicy::Manual)
                .open(&log)
                .await
                .unwrap();
            let record = vec![b'a'; 10_000];
            wal.append_with(record, Durability::Written).await.unwrap();
            write_back(&log);
            disk.fail_after(writes);
            other.write_all_at(&[2; 4096], 0).unwrap();
            is_aborted = other.sync_all().is_err();
            wal.sync().await
        });
        self.disk.cut_power_after(0);
        drop(other);
        self.turn_on();
        let found = read(&log).map_or(0, |(records, _)| records.len());
        println!("after {writes} writes: aborted {is_aborted}, {synced:?}, {found} records");
        assert!(
            synced.is_err() || found == 1,
            "P1: it was said to be durable"
        );
        is_aborted
    }

    /// Whether the file system still works. After an error it may stop, and then show anything
    /// until it is mounted again: btrfs shows directories without their newest entries.
    fn is_usable(&self) -> bool {
        let probe = self.mount.join("probe");
        fs::write(&probe, "")
            .and_then(|()| fs::remove_file(&probe))
            .is_ok()
    }

    /// Turns the power on again, and checks what is left.
    fn restart(&mut self) {
        self.turn_on();
        self.campaign.check(Loss::Unsynced);
    }

    fn turn_on(&mut self) {
        assert!(self.disk.is_off());
        self.plugged = None;
        let (cached, survived) = self.disk.restart(&mut self.campaign.random);
        println!("{cached} sectors were in the cache, {survived} survive");
        let plugged = self.disk.plug(&self.mount);
        self.plugged = Some(plugged.expect("the file system survives"));
    }

    fn report(&self, what: &str) {
        let (name, counts) = (self.kind.name, self.campaign.history.counts);
        println!("{name}: {what}: {counts:?}");
    }
}

/// Makes the file system write the cached pages of a log's segments without a sync: direct reads
/// have this effect.
fn write_back(log: &Path) {
    for entry in fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            let mut dd = command("dd", &["iflag=direct", "bs=4096", "of=/dev/null"]);
            dd.arg(format!("if={}", path.display()));
            run(dd).unwrap();
        }
    }
}

/// Segments that are not written ahead: their blocks are allocated and not written yet.
fn options() -> WalOptions {
    Wal::options().segment_size(128 * 1024).spare_segments(0)
}

const CUTS: u64 = 8;
