//! Openings that are dropped, at every step, on a simulated disk.

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Durability, Lsn, Wal};

use crate::helpers::{
    SYNC, after_a_cut, assert_records, at_every_step, drop_after, log_of, payload, read_back,
};
use crate::support::{DIR, options, run};

/// `WalOptions::open`: "If the future is dropped before it completes, no log is open, and the
/// directory is unlocked shortly afterwards."
#[test]
fn after_a_dropped_open_no_log_is_open_and_the_directory_is_given_free() {
    for log in LOGS {
        at_every_step(async |steps| {
            let disk = log.make().await;
            let open = options().open_on(&disk, DIR);
            let completed = drop_after(steps, open).await.is_some();
            log.check_and_go_on(&disk).await;
            completed
        });
    }
}

/// `WalOptions::recover`: "If the future is dropped before it completes, no segment was changed."
///
/// `WalOptions::recover`: "The directory and its lock file may have been created."
///
/// `WalOptions::recover`: "The directory is unlocked shortly afterwards."
#[test]
fn after_a_dropped_recover_no_segment_was_changed_and_the_directory_is_given_free() {
    for log in LOGS {
        at_every_step(async |steps| {
            let disk = log.make().await;
            let recover = options().recover_on(&disk, DIR);
            changes_nothing(log, &disk, drop_after(steps, recover)).await
        });
    }
}

/// `WalOptions::read`: "Like `recover`: if the future is dropped before it completes, no segment
/// was changed."
#[test]
fn after_a_dropped_read_no_segment_was_changed_and_the_directory_is_given_free() {
    for log in LOGS {
        at_every_step(async |steps| {
            let disk = log.make().await;
            let read = options().read_on(&disk, DIR);
            changes_nothing(log, &disk, drop_after(steps, read)).await
        });
    }
}

/// Checks that an opening that may be dropped changes nothing. Returns whether it completed.
async fn changes_nothing<T>(
    log: Log,
    disk: &SimDisk,
    opening: impl Future<Output = Option<T>>,
) -> bool {
    let before = disk.operations();
    let completed = opening.await.is_some();
    log.check(disk).await;
    if !matches!(log, Log::Closing) {
        assert_eq!(disk.operations(), before, "something was changed");
    }
    log.check_and_go_on(disk).await;
    completed
}

/// `Recovery::into_wal`: "If the future is dropped before it completes, no log is open, the
/// directory is unlocked shortly afterwards, and nothing is lost."
#[test]
fn after_a_dropped_into_wal_no_log_is_open_the_directory_is_given_free_and_nothing_is_lost() {
    for log in LOGS {
        for read in 0..=log.records().min(3) {
            at_every_step(async |steps| {
                let disk = log.make().await;
                let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
                for _ in 0..read {
                    recovery.try_next().await.unwrap().unwrap();
                }
                let completed = drop_after(steps, recovery.into_wal()).await.is_some();
                for survival in [Survival::Nothing, Survival::Random] {
                    let cut = after_a_cut(&disk, survival, steps);
                    let records = read_back(&cut).await;
                    assert!(records.len() as u64 >= log.durable());
                    assert_records(&records, 1..=records.len() as u64);
                }
                log.check_and_go_on(&disk).await;
                completed
            });
        }
    }
}

/// A service that drops an opening and tries again, with a longer wait each time.
#[test]
fn a_log_is_whole_after_any_number_of_openings_that_were_dropped() {
    for log in LOGS {
        run(async {
            let disk = log.make().await;
            for steps in 0..100 {
                let opening = async {
                    let recovery = options().recover_on(&disk, DIR).await.unwrap();
                    recovery.into_wal().await.unwrap();
                };
                let completed = drop_after(steps, opening).await.is_some();
                log.check(&disk).await;
                if completed {
                    return log.check_and_go_on(&disk).await;
                }
            }
            panic!("it never completes");
        });
    }
}

/// Logs in different states before they are opened.
const LOGS: [Log; 5] = [
    Log::Empty,
    Log::Closed,
    Log::CutOff,
    Log::Killed,
    Log::Closing,
];

#[derive(Clone, Copy, Debug)]
enum Log {
    Empty,
    Closed,
    /// The power was cut directly after the last record was acknowledged.
    CutOff,
    /// The process was killed when the last record was written but not synced.
    Killed,
    /// The last handle was dropped just now.
    Closing,
}

impl Log {
    async fn make(self) -> SimDisk {
        println!("{self:?}");
        let disk = match self {
            Self::Empty => SimDisk::new(1),
            Self::Closed => log_of(6).await,
            Self::CutOff | Self::Killed | Self::Closing => log_of(5).await,
        };
        disk.set_sync_time(SYNC);
        match self {
            Self::Empty | Self::Closed => {}
            Self::CutOff => {
                let _wal = append_the_sixth(&disk, Durability::Durable).await;
                disk.restart(Survival::Nothing);
            }
            Self::Killed => {
                let _wal = append_the_sixth(&disk, Durability::Written).await;
                disk.restart(Survival::Everything);
            }
            Self::Closing => drop(append_the_sixth(&disk, Durability::Written).await),
        }
        disk
    }

    fn records(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Closed | Self::CutOff | Self::Killed | Self::Closing => 6,
        }
    }

    /// How many of its records survive a power cut.
    fn durable(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Closed | Self::CutOff => 6,
            Self::Killed | Self::Closing => 5,
        }
    }

    /// Checks that the log can be opened and is complete.
    async fn check(self, disk: &SimDisk) {
        assert_records(&read_back(disk).await, 1..=self.records());
    }

    /// The same, and checks that it works.
    async fn check_and_go_on(self, disk: &SimDisk) {
        self.check(disk).await;
        let last = self.records();
        let wal = options().open_on(disk, DIR).await.unwrap();
        let next = wal.append(payload(last + 1)).await;
        assert_eq!(next.unwrap(), Lsn::new(last + 1));
        wal.close().await.unwrap();
        assert_records(&read_back(disk).await, 1..=last + 1);
    }
}

async fn append_the_sixth(disk: &SimDisk, durability: Durability) -> Wal {
    let wal = options().open_on(disk, DIR).await.unwrap();
    let sixth = wal.append_with(payload(6), durability).await;
    assert_eq!(sixth.unwrap(), Lsn::new(6));
    wal
}
