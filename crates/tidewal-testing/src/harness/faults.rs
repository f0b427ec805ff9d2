//! Every call to the disk fails once (promise P5): nothing acknowledged is lost, no caller hangs,
//! every waiting caller gets the cause, and reopening works.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, IoFailure, SyncPolicy, WalOptions};

use crate::harness::oracle::Oracle;
use crate::harness::steps::Driver;
use crate::harness::steps::Step::{
    self, Append, Batch, Drop, Idle, Reopen, Sync, Together, Truncate, Written,
};
use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    Error(io::ErrorKind),
    /// It takes effect, and still reports this error. For renames.
    LateError(io::ErrorKind),
    /// It transfers half of the bytes, and the rest fails because the disk is full.
    ShortThenFull,
    /// It takes an hour.
    Stall,
}

/// The failures of each kind of call.
pub const FAULTS: &[(Operation, &[Fault])] = {
    use io::ErrorKind::{AlreadyExists, NotFound, Other, PermissionDenied, StorageFull};
    const BROKEN: Fault = Fault::Error(Other);
    const FULL: Fault = Fault::Error(StorageFull);
    const DENIED: Fault = Fault::Error(PermissionDenied);
    &[
        (Operation::Allocate, &[BROKEN, FULL]),
        (Operation::Create, &[BROKEN, FULL, DENIED]),
        (Operation::List, &[BROKEN, DENIED]),
        (Operation::Open, &[BROKEN, DENIED]),
        (Operation::Read, &[BROKEN]),
        (Operation::Remove, &[BROKEN, DENIED]),
        (Operation::Rename, &[BROKEN, FULL, DENIED]),
        (
            Operation::Rename,
            &[Fault::LateError(NotFound), Fault::LateError(AlreadyExists)],
        ),
        (Operation::Sync, &[BROKEN, FULL, Fault::Stall]),
        (Operation::SyncDir, &[BROKEN, FULL]),
        (Operation::Write, &[BROKEN, FULL, Fault::ShortThenFull]),
    ]
};

/// Uses every kind of call several times.
pub const EVERYTHING: &[Step] = &[
    Append(100),
    Together(5, 3000),
    Written(50),
    Sync,
    Batch(3, 3000),
    Idle,
    Truncate(1),
    Append(7000),
    Append(7000),
    Reopen,
    Append(7000),
    Together(3, 5000),
    Truncate(0),
    Append(10),
    Reopen,
];

/// A workload with failing calls.
pub struct Scenario<'a> {
    pub policy: SyncPolicy,
    pub steps: &'a [Step],
}

/// What a failed call does to the log (docs/durability.md, "What a failed call does").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consequence {
    /// The failure is not reported.
    Nothing,
    /// Appends are refused, and later ones succeed.
    Refused,
    /// The caller that opens or truncates the log gets the error, and can try again.
    Reported,
    /// The log accepts nothing more.
    Poisoned,
}

impl Scenario<'_> {
    /// Makes every call fail, one in each run. Returns the number of calls.
    pub fn fail_everywhere(&self, operation: Operation, fault: Fault) -> u64 {
        (0..u64::MAX)
            .take_while(|&skip| self.fail_once(operation, skip, fault))
            .count() as u64
    }

    /// Returns whether the workload has that many calls.
    fn fail_once(&self, operation: Operation, skip: u64, fault: Fault) -> bool {
        let _label = Label(format!("{operation:?}, after {skip} others: {fault:?}"));
        note_trial();
        run(async {
            let disk = SimDisk::new(skip);
            plan(&disk, operation, skip, fault);
            let mut oracle = Oracle::default();
            let options = self.options();
            let mut driver = Driver::new(&disk, &options, &mut oracle);
            driver.is_manual = self.policy == SyncPolicy::Manual;
            let consequence = self.work(&mut driver, fault).await;
            tokio::time::sleep(Duration::from_secs(7200)).await;
            assert_is_documented(&disk, fault, consequence);
            let happened = disk.clear_faults() == 0;
            self.reopen(&disk, &oracle).await;
            happened
        })
    }

    /// Runs all steps, a refused one a second time. Returns the consequence of the failed call.
    async fn work(&self, driver: &mut Driver<'_>, fault: Fault) -> Consequence {
        let mut consequence = Consequence::Nothing;
        let mut wal = match driver.start(&[]).await {
            Ok(wal) => wal,
            Err(error) => return of(&error, fault),
        };
        for step in self.steps {
            // Keeping a handle would keep the log open.
            let kept = (!matches!(step, Reopen | Drop)).then(|| wal.clone());
            wal = match (driver.go_on(wal, &[*step]).await, kept) {
                (Ok(wal), _) => wal,
                (Err(error), None) => return of(&error, fault),
                (Err(error), Some(kept)) => {
                    consequence = of(&error, fault);
                    if consequence == Consequence::Poisoned {
                        let later = kept.append("later").await.unwrap_err();
                        assert!(matches!(later, Error::Poisoned(_)), "{later:?}");
                        return consequence;
                    }
                    let again = driver.go_on(kept, &[*step]).await;
                    again.unwrap_or_else(|error| panic!("a second time: {error:?}"))
                }
            };
        }
        consequence
    }

    /// Whichever call failed, acknowledged records are in the log when it is reopened, with and
    /// without a power cut before.
    async fn reopen(&self, disk: &SimDisk, oracle: &Oracle) {
        for power_cut in [false, true] {
            let _label = Label(format!("power cut: {power_cut}"));
            let disk = disk.fork();
            let mut oracle = oracle.clone();
            if power_cut {
                disk.restart(Survival::Nothing);
                oracle.forget_written();
            }
            let options = self.options();
            let mut driver = Driver::new(&disk, &options, &mut oracle);
            driver.is_manual = self.policy == SyncPolicy::Manual;
            let wal = driver.recover_and_append().await.unwrap();
            wal.close().await.unwrap();
            // The next life must not rely on what the failed call left in the cache.
            disk.restart(Survival::Nothing);
            driver.oracle.forget_written();
            driver.recover().await.unwrap();
        }
    }

    fn options(&self) -> WalOptions {
        options().sync_policy(self.policy)
    }
}

/// The consequence according to an error, which must carry the cause of the failed call.
fn of(error: &Error, fault: Fault) -> Consequence {
    let kind = cause(error).map(io::Error::kind);
    assert_eq!(kind, fault.kind(), "{error:?}");
    let is_full = kind == Some(io::ErrorKind::StorageFull);
    match error {
        Error::StorageFull(_) if is_full => Consequence::Refused,
        Error::SegmentUnavailable(_) if !is_full => Consequence::Refused,
        Error::Io(failure) if failure.path().starts_with(DIR) => Consequence::Reported,
        Error::OutcomeUnknown(_) | Error::Poisoned(_) => Consequence::Poisoned,
        other => panic!("{other:?}"),
    }
}

/// Checks the consequence against the rows of the table, identified by the failed call and the
/// file's name.
fn assert_is_documented(disk: &SimDisk, fault: Fault, consequence: Consequence) {
    use Consequence::{Nothing, Poisoned, Refused, Reported};
    let failed = disk.failed_operations();
    let Some((operation, file)) = failed.first() else {
        return assert_eq!(consequence, Nothing, "of what did not happen");
    };
    let is_segment = file.contains(".wal");
    let documented: &[Consequence] = match operation {
        Operation::Rename if matches!(fault, Fault::LateError(_)) => &[Poisoned, Reported, Nothing],
        Operation::Write | Operation::Sync if is_segment => &[Poisoned, Reported, Nothing],
        Operation::SyncDir => &[Poisoned, Reported, Nothing],
        Operation::Open if is_segment => &[Refused, Reported, Nothing],
        Operation::Remove | Operation::List | Operation::Read => &[Reported, Nothing],
        Operation::Rename | Operation::Allocate if is_segment => &[Nothing],
        _ => &[Refused, Reported, Nothing],
    };
    assert!(
        documented.contains(&consequence),
        "{operation:?} of {file:?} failed: {consequence:?}"
    );
}

impl Fault {
    /// The error that every waiting caller must see, if any.
    fn kind(self) -> Option<io::ErrorKind> {
        match self {
            Self::Error(kind) | Self::LateError(kind) => Some(kind),
            Self::ShortThenFull => Some(io::ErrorKind::StorageFull),
            Self::Stall => None,
        }
    }
}

fn plan(disk: &SimDisk, operation: Operation, skip: u64, fault: Fault) {
    match fault {
        Fault::Error(kind) => disk.fail(operation, skip, kind),
        Fault::LateError(kind) => disk.fail_after_rename("", skip, kind),
        Fault::ShortThenFull => {
            disk.short_io(operation, skip);
            disk.fail(operation, skip + 1, io::ErrorKind::StorageFull);
        }
        Fault::Stall => disk.stall(skip, Duration::from_secs(3600)),
    }
}

/// The error of the operating system at the root of an error.
pub fn cause(error: &Error) -> Option<&io::Error> {
    let mut source = error.source();
    if let Error::Io(failure) = error {
        return Some(failure.io_error());
    }
    while let Some(error) = source {
        if let Some(failure) = error.downcast_ref::<IoFailure>() {
            return Some(failure.io_error());
        }
        source = error.source();
    }
    None
}
