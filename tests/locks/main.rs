//! Which logs and readers can have a directory open at the same time, and when it is unlocked again
//! (promise P6).
//!
//! On the real disk, because the lock belongs to the operating system. Virtual time shows that a
//! refusal comes at once.

mod freed;
mod held;
mod helpers;
mod processes;

use tidewal_testing::support;
