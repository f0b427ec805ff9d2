//! Changes that other programs make to the directory of an open log: it and its files are moved,
//! replaced and removed. No record that the log acknowledges afterwards is lost.

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Wal};

use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

/// A change by another program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    /// The directory gets another path.
    Move,
    /// A copy of the directory, which is opened too, takes its path.
    ExchangeForCopy,
    /// A new log takes its path.
    ExchangeForNew,
    /// The lock file is removed, and another process opens the log.
    RemoveLockFile,
    RemoveDirectory,
    RemoveSegment,
    ReplaceSegment,
    CutSegmentShort,
}

impl Act {
    const ALL: [Self; 8] = [
        Self::Move,
        Self::ExchangeForCopy,
        Self::ExchangeForNew,
        Self::RemoveLockFile,
        Self::RemoveDirectory,
        Self::RemoveSegment,
        Self::ReplaceSegment,
        Self::CutSegmentShort,
    ];

    /// Whether it destroys records that were acknowledged before.
    fn destroys(self) -> bool {
        matches!(
            self,
            Self::RemoveDirectory
                | Self::RemoveSegment
                | Self::ReplaceSegment
                | Self::CutSegmentShort
        )
    }
}

/// Tries every change after every number of appends up to two segments, with and without directory
/// locks.
pub fn nothing_acknowledged_is_lost_to_others() {
    for act in Act::ALL {
        for before in 1..=26 {
            for locks_directories in [true, false] {
                note_trial();
                let tried = format!("{act:?} after {before} appends, {locks_directories}");
                let _label = Label(tried);
                run(Trial::new(before, locks_directories).go(act));
            }
        }
    }
}

/// A log whose directory is changed, and another log that is opened.
struct Trial {
    disk: SimDisk,
    before: u64,
    locks_directories: bool,
    /// Where the log is at the end. `acknowledged` counts its acknowledged appends.
    home: &'static str,
    acknowledged: u64,
}

impl Trial {
    fn new(before: u64, locks_directories: bool) -> Self {
        let disk = SimDisk::new(before);
        disk.set_directory_locks(locks_directories);
        Self {
            disk,
            before,
            locks_directories,
            home: DIR,
            acknowledged: 0,
        }
    }

    async fn go(mut self, act: Act) {
        let wal = options().open_on(&self.disk, DIR).await.unwrap();
        self.append(&wal, self.before).await.unwrap();
        let other = self.act(act).await;
        let outcome = self.append(&wal, 30).await;
        match (act, &outcome) {
            _ if act.destroys() => assert!(outcome.is_err() && self.acknowledged == self.before),
            // The other process has the log open now.
            (Act::RemoveLockFile, Err(_)) => assert!(!self.locks_directories),
            (_, Err(error)) => panic!("{error:?}"),
            (_, Ok(())) => {}
        }
        let mut opened = None;
        if let Some(other) = other {
            opened = Some(self.append_to_other(other, act).await);
        }
        // After an error, `close` returns the same error again.
        let closed = wal.close().await;
        assert_eq!(closed.is_ok(), outcome.is_ok());
        self.disk.restart(Survival::Nothing);
        if !act.destroys() {
            let records = opened.filter(|_| act == Act::RemoveLockFile);
            self.assert_holds(self.home, records.unwrap_or(self.acknowledged))
                .await;
        }
        if let Some(records) = opened {
            self.assert_holds(DIR, records).await;
        }
    }

    async fn act(&mut self, act: Act) -> Option<Wal> {
        let disk = self.disk.clone();
        // Digits and `.wal`. A spare has another suffix.
        let is_segment = |name: &String| name.strip_suffix(".wal").is_some();
        let newest = disk.files(DIR).into_iter().rfind(is_segment);
        let newest = format!("{DIR}/{}", newest.unwrap());
        match act {
            Act::Move => self.move_away(),
            Act::ExchangeForCopy => {
                disk.copy_dir(DIR, "copy").unwrap();
                self.move_away();
                disk.move_dir("copy", DIR).unwrap();
                return Some(options().open_on(&disk, DIR).await.unwrap());
            }
            Act::ExchangeForNew => {
                self.move_away();
                return Some(options().open_on(&disk, DIR).await.unwrap());
            }
            Act::RemoveLockFile => return self.remove_lock_file().await,
            Act::RemoveDirectory => disk.remove_dir(DIR).unwrap(),
            Act::RemoveSegment => assert!(disk.remove_file(&newest)),
            Act::ReplaceSegment => {
                let bytes = disk.read(&newest).unwrap();
                disk.remove_file(&newest);
                disk.write_file(&newest, bytes);
            }
            Act::CutSegmentShort => assert!(disk.corrupt(&newest, |bytes| bytes.truncate(4096))),
        }
        None
    }

    fn move_away(&mut self) {
        self.home = "away";
        self.disk.move_dir(DIR, self.home).unwrap();
    }

    /// If the directory itself is locked, no other process can open the log.
    async fn remove_lock_file(&self) -> Option<Wal> {
        assert!(self.disk.remove_file(format!("{DIR}/LOCK")));
        let opened = options().open_on(&self.disk.another_process(), DIR).await;
        match opened {
            Err(Error::Locked { .. }) if self.locks_directories => None,
            Ok(wal) if !self.locks_directories => Some(wal),
            other => panic!("{other:?}"),
        }
    }

    /// Appends until one is not acknowledged.
    async fn append(&mut self, wal: &Wal, records: u64) -> Result<(), Error> {
        for _ in 0..records {
            let lsn = wal.append(payload(self.acknowledged + 1)).await?;
            self.acknowledged += 1;
            assert_eq!(lsn.get(), self.acknowledged);
        }
        Ok(())
    }

    /// Returns the number of records of that log.
    async fn append_to_other(&self, other: Wal, act: Act) -> u64 {
        let first = match act {
            Act::ExchangeForNew => 1,
            _ => self.before + 1,
        };
        for number in first..first + 30 {
            let lsn = other.append(payload(number)).await.unwrap();
            assert_eq!(lsn.get(), number);
        }
        other.close().await.unwrap();
        first + 29
    }

    async fn assert_holds(&self, dir: &str, records: u64) {
        let mut recovery = options().recover_on(&self.disk, dir).await.unwrap();
        for number in 1..=records {
            let record = recovery.try_next().await.unwrap();
            let record = record.unwrap_or_else(|| panic!("{number} is missing in {dir}"));
            assert_eq!(record.lsn.get(), number);
            assert_eq!(record.payload, payload(number));
        }
        assert!(recovery.try_next().await.unwrap().is_none());
        let wal = recovery.into_wal().await.unwrap();
        wal.close().await.unwrap();
    }
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![0; 1200];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}
