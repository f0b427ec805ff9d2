//! Every call to the disk fails once (promise P5): nothing acknowledged is lost, no caller hangs,
//! every waiting caller gets the cause, and reopening works.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, IoFailure, SyncPolicy, Wal, WalOptions};

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
    /// Whether a preallocator makes spares. Without one, each failure has exactly one documented
    /// consequence.
    pub has_spares: bool,
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

/// What the log was doing when a call failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum During {
    Opening,
    Appending,
    Idling,
    Truncating,
    Closing,
    /// Closing after the last handle was dropped.
    Dropped,
}

impl During {
    fn of(step: Step) -> Self {
        match step {
            Idle => Self::Idling,
            Truncate(_) => Self::Truncating,
            Reopen => Self::Closing,
            Drop => Self::Dropped,
            _ => Self::Appending,
        }
    }
}

/// The course of a run with one failed call.
struct Course {
    fault: Fault,
    /// What the log was doing when the call failed. `None` before that.
    during: Option<During>,
    /// The first consequence that a caller noticed.
    consequence: Consequence,
}

impl Course {
    /// Notes that the log has done something, with this result.
    fn note<T>(
        &mut self,
        disk: &SimDisk,
        during: During,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        if self.during.is_none() && !disk.failed_operations().is_empty() {
            self.during = Some(during);
        }
        if let Err(error) = &result
            && self.consequence == Consequence::Nothing
        {
            self.consequence = of(error, self.fault);
        }
        result
    }

    async fn reopen(&mut self, driver: &mut Driver<'_>, wal: Wal) -> Result<Wal, Error> {
        let closed = wal.close().await;
        self.note(driver.disk, During::Closing, closed)?;
        let opened = driver.start(&[]).await;
        self.note(driver.disk, During::Opening, opened)
    }

    /// Runs a step, a refused one a second time.
    async fn step(&mut self, driver: &mut Driver<'_>, wal: Wal, step: Step) -> Result<Wal, Error> {
        // Keeping a handle would keep the log open.
        let kept = (step != Drop).then(|| wal.clone());
        let done = driver.go_on(wal, &[step]).await;
        let (error, kept) = match (self.note(driver.disk, During::of(step), done), kept) {
            (Err(error), Some(kept)) => (error, kept),
            (done, _) => return done,
        };
        if of(&error, self.fault) == Consequence::Poisoned {
            let later = kept.append("later").await.unwrap_err();
            assert!(matches!(later, Error::Poisoned(_)), "{later:?}");
            return Err(error);
        }
        let again = driver.go_on(kept, &[step]).await;
        Ok(again.unwrap_or_else(|error| panic!("a second time: {error:?}")))
    }
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
            let course = self.work(&mut driver, fault).await;
            tokio::time::sleep(Duration::from_secs(7200)).await;
            self.assert_is_documented(&disk, &course);
            let happened = disk.clear_faults() == 0;
            self.reopen(&disk, &oracle).await;
            happened
        })
    }

    /// Runs the steps until one fails for good.
    async fn work(&self, driver: &mut Driver<'_>, fault: Fault) -> Course {
        let mut course = Course {
            fault,
            during: None,
            consequence: Consequence::Nothing,
        };
        let opened = driver.start(&[]).await;
        let mut opened = course.note(driver.disk, During::Opening, opened);
        for step in self.steps {
            let Ok(wal) = opened else { break };
            opened = match step {
                Reopen => course.reopen(driver, wal).await,
                step => course.step(driver, wal, *step).await,
            };
        }
        course
    }

    /// Checks the consequence against the table. With spares, a call on a file may have been made
    /// by the preallocator or by the writer.
    fn assert_is_documented(&self, disk: &SimDisk, course: &Course) {
        let failed = disk.failed_operations();
        let Some((operation, file)) = failed.first() else {
            return assert_eq!(
                course.consequence,
                Consequence::Nothing,
                "without a failure"
            );
        };
        let during = course.during.unwrap_or(During::Dropped);
        let documented: &[Consequence] = match self.has_spares {
            true => documented_with_spares(*operation, file, course.fault),
            false => &[documented(during, *operation, file, course.fault)],
        };
        assert!(
            documented.contains(&course.consequence),
            "{during:?}: {operation:?} of {file:?} failed: {:?}, not {documented:?}",
            course.consequence
        );
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
        let options = options().sync_policy(self.policy);
        match self.has_spares {
            true => options,
            false => options.spare_segments(0),
        }
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

/// The consequence in the row of the table for a call of a log without spares. A file that is no
/// segment is about to become one.
#[expect(clippy::match_same_arms, reason = "each arm is a row of the table")]
fn documented(during: During, operation: Operation, file: &str, fault: Fault) -> Consequence {
    use Consequence::{Nothing, Poisoned, Refused, Reported};
    use During::{Appending, Closing, Dropped, Idling, Opening, Truncating};
    use Operation::{Allocate, Create, Open, Remove, Rename, Sync, SyncDir, Write};
    let is_segment = file.contains(".wal");
    match (during, operation) {
        // No caller waits for it.
        (Dropped, _) => Nothing,
        (Opening, Allocate | Remove) => Nothing,
        (Opening, _) => Reported,
        // The idle mark.
        (Idling, Open | Write) => Nothing,
        // The seal, and the space after it.
        (Closing, Write | Sync) => Poisoned,
        (Closing, Allocate) => Nothing,
        // The head mark, and the removal.
        (Truncating, Open | Remove | SyncDir) => Reported,
        (Truncating, Write | Sync) => Poisoned,
        (Appending, Rename) if matches!(fault, Fault::LateError(_)) => Poisoned,
        (Appending, Create | Allocate | Write | Sync | Rename) if !is_segment => Refused,
        // The link, its file and the space after it. The new name. The records.
        (Appending, Open) => Refused,
        (Appending, Allocate) => Nothing,
        (Appending, Write | Sync | SyncDir) => Poisoned,
        _ => panic!("no row: {during:?}, {operation:?} of {file:?}"),
    }
}

/// The consequences in all rows for a call on a file, made by the writer or in the background.
fn documented_with_spares(
    operation: Operation,
    file: &str,
    fault: Fault,
) -> &'static [Consequence] {
    use Consequence::{Nothing, Poisoned, Refused, Reported};
    let is_segment = file.contains(".wal");
    match operation {
        Operation::Rename if matches!(fault, Fault::LateError(_)) => &[Poisoned, Reported, Nothing],
        Operation::Write | Operation::Sync if is_segment => &[Poisoned, Reported, Nothing],
        Operation::SyncDir => &[Poisoned, Reported, Nothing],
        Operation::Open if is_segment => &[Refused, Reported, Nothing],
        Operation::Remove | Operation::List | Operation::Read => &[Reported, Nothing],
        Operation::Rename | Operation::Allocate if is_segment => &[Nothing],
        _ => &[Refused, Reported, Nothing],
    }
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
