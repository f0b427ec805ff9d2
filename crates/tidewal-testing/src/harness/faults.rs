//! Every call to the disk goes wrong once (promise P5): nothing acknowledged is lost, nobody hangs, the
//! cause reaches whoever waits, and reopening works.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Fault, SyncPolicy, WalOptions};

use crate::harness::journal::Journal;
use crate::harness::steps::Driver;
use crate::harness::steps::Step::{
    self, Append, Batch, Idle, Reopen, Sync, Together, Truncate, Written,
};
use crate::harness::{Label, note_trial};
use crate::support::{options, run};

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mishap {
    Error(io::ErrorKind),
    /// It moves half of the bytes, and the rest finds the disk full.
    ShortThenFull,
    /// It takes an hour.
    Stall,
}

/// What can go wrong with each kind of call.
pub const MISHAPS: &[(Operation, &[Mishap])] = {
    use io::ErrorKind::{Other, PermissionDenied, StorageFull};
    const BROKEN: Mishap = Mishap::Error(Other);
    const FULL: Mishap = Mishap::Error(StorageFull);
    const DENIED: Mishap = Mishap::Error(PermissionDenied);
    &[
        (Operation::Allocate, &[BROKEN, FULL]),
        (Operation::Create, &[BROKEN, FULL, DENIED]),
        (Operation::List, &[BROKEN, DENIED]),
        (Operation::Open, &[BROKEN, DENIED]),
        (Operation::Read, &[BROKEN]),
        (Operation::Remove, &[BROKEN, DENIED]),
        (Operation::Rename, &[BROKEN, FULL, DENIED]),
        (Operation::Sync, &[BROKEN, FULL, Mishap::Stall]),
        (Operation::SyncDir, &[BROKEN, FULL]),
        (Operation::Write, &[BROKEN, FULL, Mishap::ShortThenFull]),
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

/// A workload in which things go wrong.
pub struct Scenario<'a> {
    pub policy: SyncPolicy,
    pub steps: &'a [Step],
}

impl Scenario<'_> {
    /// Lets every call go wrong, one in each run, and returns how many there were.
    pub fn fail_everywhere(&self, operation: Operation, mishap: Mishap) -> u64 {
        (0..u64::MAX)
            .take_while(|&skip| self.fail_once(operation, skip, mishap))
            .count() as u64
    }

    /// Returns whether the workload has that many calls.
    fn fail_once(&self, operation: Operation, skip: u64, mishap: Mishap) -> bool {
        let _label = Label(format!("{operation:?}, after {skip} others: {mishap:?}"));
        note_trial();
        run(async {
            let disk = SimDisk::new(skip);
            plan(&disk, operation, skip, mishap);
            let mut journal = Journal::default();
            let options = self.options();
            let mut driver = Driver::new(&disk, &options, &mut journal);
            driver.is_manual = self.policy == SyncPolicy::Manual;
            let outcome = driver.start(self.steps).await;
            if let Err(error) = &outcome {
                assert_eq!(
                    cause(error).map(io::Error::kind),
                    mishap.kind(),
                    "{error:?}"
                );
            }
            drop(outcome);
            tokio::time::sleep(Duration::from_secs(7200)).await;
            let happened = disk.clear_faults() == 0;
            self.reopen(&disk, &journal).await;
            happened
        })
    }

    /// Whatever failed: what was acknowledged is there when the log is opened again, and also when the
    /// power is cut before that.
    async fn reopen(&self, disk: &SimDisk, journal: &Journal) {
        for power_cut in [false, true] {
            let _label = Label(format!("power cut: {power_cut}"));
            let disk = disk.fork();
            let mut journal = journal.clone();
            if power_cut {
                disk.restart(Survival::Nothing);
                journal.forget_written();
            }
            let options = self.options();
            let mut driver = Driver::new(&disk, &options, &mut journal);
            driver.is_manual = self.policy == SyncPolicy::Manual;
            let wal = driver.recover_and_append().await.unwrap();
            wal.close().await.unwrap();
        }
    }

    fn options(&self) -> WalOptions {
        options().sync_policy(self.policy)
    }
}

impl Mishap {
    /// The error that whoever waits has to see, if any.
    fn kind(self) -> Option<io::ErrorKind> {
        match self {
            Self::Error(kind) => Some(kind),
            Self::ShortThenFull => Some(io::ErrorKind::StorageFull),
            Self::Stall => None,
        }
    }
}

fn plan(disk: &SimDisk, operation: Operation, skip: u64, mishap: Mishap) {
    match mishap {
        Mishap::Error(kind) => disk.fail(operation, skip, kind),
        Mishap::ShortThenFull => {
            disk.shorten(operation, skip);
            disk.fail(operation, skip + 1, io::ErrorKind::StorageFull);
        }
        Mishap::Stall => disk.stall(skip, Duration::from_secs(3600)),
    }
}

/// The error of the operating system at the root of an error.
pub fn cause(error: &Error) -> Option<&io::Error> {
    let mut source = error.source();
    if let Error::Io(fault) = error {
        return Some(fault.io_error());
    }
    while let Some(error) = source {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(fault.io_error());
        }
        source = error.source();
    }
    None
}
