//! The command line of `tidewal bench`, as the modules of the bench read it.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;

/// Measure which interval between syncs suits a disk
///
/// Appends records of 100 bytes from 1 to 1,024 producers, syncing as soon as the disk is free, and at
/// intervals from 0.2 to 100 ms; beside it a single thread writes and syncs the same bytes with nothing
/// around it, which is the floor. Everything takes turns, so that a machine that is slow for a while is
/// slow for all. It writes to a new directory in DIR, takes about 700 MiB there (1.3 GiB with --full), and
/// removes it at the end, or at Ctrl-C; if it is killed, tidewal-bench-... stays there.
#[derive(clap::Args)]
#[command(
    after_help = "Run it on a machine that does nothing else, in a directory on the disk that the log \
    will be on."
)]
pub struct Args {
    /// A directory on the disk to be measured
    #[arg(long, default_value = ".", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// More intervals, more producers, longer: some minutes instead of about one
    #[arg(long)]
    pub full: bool,

    /// Only so much as shows that it runs: for tests, and so no option.
    #[arg(skip = std::env::var_os("TIDEWAL_BENCH_REHEARSE").is_some())]
    pub rehearse: bool,

    /// Print JSON, with every round
    #[arg(long)]
    pub json: bool,

    /// Draw it into this SVG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,

    #[arg(skip = PathBuf::from("/dev/shm"))]
    pub memory_dir: PathBuf,
}

/// How much is measured.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Scale {
    Full,
    Quick,
    /// Only so much as shows that it runs.
    Test,
}

impl Args {
    pub fn scale(&self) -> Scale {
        match (self.rehearse, self.full) {
            (true, _) => Scale::Test,
            (false, true) => Scale::Full,
            (false, false) => Scale::Quick,
        }
    }

    pub fn rounds(&self) -> usize {
        match self.scale() {
            Scale::Full => 5,
            Scale::Quick => 3,
            Scale::Test => 1,
        }
    }

    pub fn slice(&self) -> Duration {
        match self.scale() {
            Scale::Full => Duration::from_secs(1),
            Scale::Quick => Duration::from_millis(400),
            Scale::Test => Duration::from_millis(5),
        }
    }

    pub fn dir(&self) -> PathBuf {
        self.dir.clone()
    }
}

impl Scale {
    /// Either, and the second one in a test.
    pub fn or_in_test<T>(self, value: T, in_test: T) -> T {
        if self == Self::Test { in_test } else { value }
    }
}
