//! The command line of `tidewal bench`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;

use crate::measure::config::{BenchConfig, Scale};

/// Measure which interval between syncs suits a disk
///
/// Appends records of 100 bytes from 1 to 1,024 producers, syncing as soon as the previous sync completes,
/// and at intervals from 0.2 to 100 ms. As a baseline, a single thread writes and syncs the same bytes
/// without a log. All of these take turns, so a slow period of the machine affects them alike.
///
/// Writes to a new directory tidewal-bench-... in DIR, which takes about 700 MiB (1.3 GiB with --full).
/// Removes it at the end and on Ctrl-C, but not if it is killed.
#[derive(clap::Args)]
#[command(
    after_help = "Run it on an otherwise idle machine, in a directory on the disk of the log.\n\n\
    Examples:\n  tidewal bench --dir /var/lib/orders\n  tidewal bench --full --plot sync.svg"
)]
pub struct Args {
    /// A directory on the disk to measure
    #[arg(long, default_value = ".", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Try more intervals and producers in longer rounds: takes a few minutes instead of about one
    #[arg(long)]
    pub full: bool,

    /// Only checks that it runs. Used by tests, so it is not a command-line option.
    #[arg(skip = std::env::var_os("TIDEWAL_BENCH_REHEARSE").is_some())]
    pub rehearse: bool,

    /// Print JSON, with every round
    #[arg(long)]
    pub json: bool,

    /// Draw the result into this SVG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
}

impl Args {
    /// The configuration of a measurement in this directory.
    pub fn config(&self, dir: &Path) -> BenchConfig {
        let scale = self.scale();
        let (rounds, slice) = match scale {
            Scale::Full => (5, Duration::from_secs(1)),
            Scale::Quick => (3, Duration::from_millis(400)),
            Scale::Test => (1, Duration::from_millis(40)),
        };
        BenchConfig {
            scale,
            rounds,
            slice,
            dir: dir.to_owned(),
            memory: None,
        }
    }

    pub fn scale(&self) -> Scale {
        match (self.rehearse, self.full) {
            (true, _) => Scale::Test,
            (false, true) => Scale::Full,
            (false, false) => Scale::Quick,
        }
    }
}
