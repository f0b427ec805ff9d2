//! Locks and atomics of the queue: those of the standard library, or, in a test that is built with
//! `--cfg tidewal_shuttle`, those of the model checker (`queue/model.rs`).

#[cfg(not(all(test, tidewal_shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(test, tidewal_shuttle))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
