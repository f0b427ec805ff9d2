//! Planned faults.

use std::io;
use std::time::Duration;

use crate::storage::sim::operation::Operation;

/// Faults planned for single operations. Each happens once.
#[derive(Clone, Default)]
pub(super) struct Faults {
    /// The operations that were made to fail, and the names of their files.
    failed: Vec<(Operation, String)>,
    errors: Vec<(Planned, io::ErrorKind)>,
    /// Renames that are done, and then reported as failed.
    late_errors: Vec<(Planned, io::ErrorKind)>,
    shorts: Vec<(Planned, ())>,
    stalls: Vec<(Planned, Duration)>,
}

/// The operation of this kind that comes after `skip` others, on files whose names end with `file`.
#[derive(Clone)]
struct Planned {
    operation: Operation,
    file: String,
    skip: u64,
}

impl Planned {
    fn any(operation: Operation, skip: u64) -> Self {
        let file = String::new();
        Self {
            operation,
            file,
            skip,
        }
    }
}

impl Faults {
    pub(super) fn plan_error(
        &mut self,
        operation: Operation,
        file: &str,
        skip: u64,
        error: io::ErrorKind,
    ) {
        let planned = Planned {
            operation,
            file: file.to_owned(),
            skip,
        };
        self.errors.push((planned, error));
    }

    pub(super) fn plan_late_error(&mut self, file: &str, skip: u64, error: io::ErrorKind) {
        let planned = Planned {
            file: file.to_owned(),
            ..Planned::any(Operation::Rename, skip)
        };
        self.late_errors.push((planned, error));
    }

    pub(super) fn plan_short(&mut self, operation: Operation, skip: u64) {
        self.shorts.push((Planned::any(operation, skip), ()));
    }

    pub(super) fn plan_stall(&mut self, skip: u64, time: Duration) {
        self.stalls
            .push((Planned::any(Operation::Sync, skip), time));
    }

    /// Whether a fault is planned for an operation of this kind, so the name of its file matters.
    pub(super) fn awaits(&self, operation: Operation) -> bool {
        let mut planned = self.errors.iter();
        planned.any(|(planned, _)| planned.operation == operation)
    }

    pub(super) fn failed(&self) -> Vec<(Operation, String)> {
        self.failed.clone()
    }

    /// How many faults have not happened yet.
    pub(super) fn len(&self) -> usize {
        self.errors.len() + self.late_errors.len() + self.shorts.len() + self.stalls.len()
    }

    pub(super) fn fail(&mut self, operation: Operation, file: &str) -> io::Result<()> {
        let due = take_due(&mut self.errors, operation, file);
        self.note_failed(due, operation, file)
    }

    /// Takes the error for a rename that was done.
    pub(super) fn fail_late(&mut self, file: &str) -> io::Result<()> {
        let due = take_due(&mut self.late_errors, Operation::Rename, file);
        self.note_failed(due, Operation::Rename, file)
    }

    fn note_failed(
        &mut self,
        due: Option<io::ErrorKind>,
        operation: Operation,
        file: &str,
    ) -> io::Result<()> {
        let Some(error) = due else {
            return Ok(());
        };
        self.failed.push((operation, file.to_owned()));
        Err(error.into())
    }

    /// How many of `len` bytes an operation transfers.
    pub(super) fn shorten(&mut self, operation: Operation, len: usize) -> usize {
        let is_short = take_due(&mut self.shorts, operation, "").is_some();
        if is_short { len.div_ceil(2) } else { len }
    }

    pub(super) fn stall(&mut self) -> Duration {
        take_due(&mut self.stalls, Operation::Sync, "").unwrap_or_default()
    }
}

/// Counts one operation, and takes the fault that was planned for it.
fn take_due<T: Copy>(plans: &mut Vec<(Planned, T)>, operation: Operation, file: &str) -> Option<T> {
    let mut due = None;
    plans.retain_mut(|(planned, what)| {
        if planned.operation != operation || !file.ends_with(&planned.file) {
            return true;
        }
        let is_due = planned.skip == 0;
        if is_due {
            due = Some(*what);
        } else {
            planned.skip -= 1;
        }
        !is_due
    });
    due
}
