//! Seeds and numbers from the environment, a runtime, and a whole log as its reader sees it.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use tidewal::{Record, RecoveryReport, Wal};

/// `TIDEWAL_KILL_SEED`, or a new one.
pub fn seed() -> u64 {
    number("TIDEWAL_KILL_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000)
}

/// A number from the environment.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number")))
}

/// Runs something that needs a runtime.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work)
}

/// Everything that a log delivers to a reader, and the report.
pub fn read(dir: &Path) -> tidewal::Result<(Vec<Record>, RecoveryReport)> {
    block_on(async {
        let mut reader = Wal::options().read(dir).await?;
        let mut records = Vec::new();
        while let Some(record) = reader.try_next().await? {
            records.push(record);
        }
        Ok((records, reader.report().clone()))
    })
}
