//! The processor time of this process.

use std::time::Duration;

/// The processor time that all threads of this process have used, where the system tells it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn processor_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};

    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

/// The processor time that all threads of this process have used, where the system tells it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn processor_time() -> Option<Duration> {
    None
}
