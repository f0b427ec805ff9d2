//! Runs futures in a program that has nothing else to do.

use std::future::Future;

#[cfg(feature = "archive")]
use crate::failure::Failure;

/// Runs a future on this thread.
pub fn wait_for<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O can be made");
    runtime.block_on(work)
}

/// Like [`wait_for`], for a future that may use the network.
#[cfg(feature = "archive")]
pub fn wait_for_network<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        Failure::Other(
            format!("cannot prepare to use the network: {error}"),
            "see how many files may be open, with `ulimit -n`".into(),
        )
    })?;
    let done = runtime.block_on(work);
    // A file system that hangs must not prevent the command from reporting it.
    runtime.shutdown_background();
    done
}
