//! Helpers for all tests.

use std::future::Future;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{SyncPolicy, Wal, WalOptions};

pub const DIR: &str = "log";

/// Small segments, so few records fill one.
pub fn options() -> WalOptions {
    Wal::options().segment_size(16 * 1024)
}

/// The names of the spare files of the log in [`DIR`].
pub fn spares(disk: &SimDisk) -> Vec<String> {
    let mut files = disk.files(DIR);
    files.retain(|name| name.contains(".spare"));
    files
}

/// Longer than any test takes in virtual time.
const DOOMSDAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs a test in virtual time on one thread. A test that would hang fails instead.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(DOOMSDAY, test)
            .await
            .expect("the test hangs")
    })
}

/// Runs a test that must not hang, on a separate thread.
pub fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (end, ended) = mpsc::channel();
    let test = thread::spawn(move || {
        test();
        end.send(()).unwrap();
    });
    match ended.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a caller waits forever"),
        // The test has ended, successfully or not.
        _ => test
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause)),
    }
}

/// The policies under which a workload is run.
pub fn policies() -> [SyncPolicy; 3] {
    [
        SyncPolicy::Always,
        SyncPolicy::Interval(Duration::from_millis(2)),
        SyncPolicy::Manual,
    ]
}
