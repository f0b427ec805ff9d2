//! How much is measured, and where.

use std::path::PathBuf;
use std::time::Duration;

pub struct Plan {
    pub scale: Scale,
    /// How often each method is measured.
    pub rounds: usize,
    /// How long each time.
    pub slice: Duration,
    /// A directory on the disk in question.
    pub dir: PathBuf,
    /// A directory on a memory file system, if something is to be compared with it.
    pub memory: Option<PathBuf>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Scale {
    Full,
    Quick,
    /// Only so much as shows that it runs.
    Test,
}

impl Scale {
    /// Either, and the second one in a test.
    pub fn or_in_test<T>(self, value: T, in_test: T) -> T {
        if self == Self::Test { in_test } else { value }
    }
}
