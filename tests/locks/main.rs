//! Who may have a directory open together with whom, and when it is free again (promise P6).
//!
//! On the real disk, because the lock is the operating system's; virtual time shows that a refusal
//! comes at once.

mod freed;
mod held;
mod helpers;
mod processes;

use tidewal_testing::support;
