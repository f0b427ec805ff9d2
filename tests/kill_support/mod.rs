//! Shared by the tests on real disks: a process that appends from many producers and is killed
//! ([`child`], [`process`]), its appends ([`ops`]), and the promises that it got ([`history`]).
//!
//! All random choices come from a seed that is printed. The order of events depends on the machine,
//! so the same seed gives a similar run, not the same one.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

pub mod campaign;
pub mod child;
pub mod history;
pub mod ops;
pub mod process;

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use tidewal::{Record, RecoveryReport, Wal};

/// A xorshift generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        // The first few still look like the seed.
        for _ in 0..8 {
            random.next();
        }
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// A number below 2^`bits`, small as often as large.
    pub fn of_any_size(&mut self, bits: u64) -> u64 {
        let bits = 1 + self.below(bits);
        self.below(1 << bits)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).unwrap()]
    }
}

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
