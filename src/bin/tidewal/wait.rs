//! Futures in a program that has nothing else to do.

use std::future::Future;

/// Runs a future on this thread.
pub fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O can be made");
    runtime.block_on(work)
}
