//! The command line of `tidewal bench`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;

use crate::measure::plan::{Plan, Scale};

/// Measure which interval between syncs suits a disk
///
/// Appends records of 100 bytes from 1 to 1,024 producers, syncing as soon as the disk is free, and at
/// intervals from 0.2 to 100 ms; beside it a single thread writes and syncs the same bytes with nothing
/// around it, which is the baseline. Everything takes turns, so that a machine that is slow for a while is
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
}

impl Args {
    /// What is measured, in this directory.
    pub fn plan(&self, dir: &Path) -> Plan {
        let scale = self.scale();
        let (rounds, slice) = match scale {
            Scale::Full => (5, Duration::from_secs(1)),
            Scale::Quick => (3, Duration::from_millis(400)),
            Scale::Test => (1, Duration::from_millis(40)),
        };
        Plan {
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
