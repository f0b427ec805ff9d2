//! Locks and atomics of the queue: those of the standard library, or those of the model checker in a test
//! that is built with `--cfg tidewal_shuttle` (`queue/model.rs`).

#[cfg(not(all(test, tidewal_shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(test, tidewal_shuttle))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
