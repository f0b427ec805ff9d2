//! What is planned to go wrong.

use std::io;
use std::time::Duration;

use crate::storage::sim::Operation;

/// Plans for single operations. Each comes about once.
#[derive(Clone, Default)]
pub(super) struct Mishaps {
    errors: Vec<(Planned, io::ErrorKind)>,
    shorts: Vec<(Planned, ())>,
    stalls: Vec<(Planned, Duration)>,
}

/// The operation of this kind that comes after so many others.
#[derive(Clone, Copy)]
struct Planned {
    operation: Operation,
    skip: u64,
}

impl Mishaps {
    pub(super) fn plan_error(&mut self, operation: Operation, skip: u64, error: io::ErrorKind) {
        self.errors.push((Planned { operation, skip }, error));
    }

    pub(super) fn plan_short(&mut self, operation: Operation, skip: u64) {
        self.shorts.push((Planned { operation, skip }, ()));
    }

    pub(super) fn plan_stall(&mut self, skip: u64, time: Duration) {
        let operation = Operation::Sync;
        self.stalls.push((Planned { operation, skip }, time));
    }

    /// How many have not come about.
    pub(super) fn len(&self) -> usize {
        self.errors.len() + self.shorts.len() + self.stalls.len()
    }

    pub(super) fn fail(&mut self, operation: Operation) -> io::Result<()> {
        take_due(&mut self.errors, operation).map_or(Ok(()), |error| Err(error.into()))
    }

    /// How many of `len` bytes an operation moves.
    pub(super) fn shorten(&mut self, operation: Operation, len: usize) -> usize {
        let is_short = take_due(&mut self.shorts, operation).is_some();
        if is_short { len.div_ceil(2) } else { len }
    }

    pub(super) fn stall(&mut self) -> Duration {
        take_due(&mut self.stalls, Operation::Sync).unwrap_or_default()
    }
}

/// Counts one operation, and takes out what was planned for it.
fn take_due<T: Copy>(plans: &mut Vec<(Planned, T)>, operation: Operation) -> Option<T> {
    let mut due = None;
    plans.retain_mut(|(planned, what)| {
        if planned.operation != operation {
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
