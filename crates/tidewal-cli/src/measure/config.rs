//! How much a benchmark measures, and where.

use std::path::PathBuf;
use std::time::Duration;

pub struct BenchConfig {
    pub scale: Scale,
    /// How often each method is measured.
    pub rounds: usize,
    /// How long each measurement takes.
    pub slice: Duration,
    /// A directory on the disk in question.
    pub dir: PathBuf,
    /// A directory on a memory file system, if the log is measured there too.
    pub memory: Option<PathBuf>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Scale {
    Full,
    Quick,
    /// Only checks that it runs.
    Test,
}

impl Scale {
    /// The first value, or the second one in a test.
    pub fn or_in_test<T>(self, value: T, in_test: T) -> T {
        if self == Self::Test { in_test } else { value }
    }
}
