//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::cargo::{is_test, scratch_root};
use crate::measure::config::{BenchConfig, Scale};
use crate::scenarios::memory::Probe;

/// Measures the log beside the bare disk.
#[derive(Parser)]
#[command(
    name = "baseline",
    bin_name = "cargo bench -p tidewal-cli --bench baseline --"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are flags of a command line"
)]
pub struct Args {
    /// Scenarios to run, such as s1 s9 [default: all]
    pub scenarios: Vec<String>,

    /// List the scenarios and exit
    #[arg(long)]
    pub list: bool,

    /// How often each method is measured [default: 5, quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,

    /// How long one slice takes [default: 0.5, quick: 0.1]
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,

    /// Fewer and shorter slices: for a quick check and rough figures
    #[arg(long)]
    quick: bool,

    /// Where to write, instead of `TIDEWAL_BENCH_DIR` or target/
    #[arg(long)]
    dir: Option<PathBuf>,

    /// A directory on a memory file system
    #[arg(long, default_value = "/dev/shm")]
    pub memory_dir: PathBuf,

    /// Write every figure of every round to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw S9 into this SVG file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,

    /// Used by S10 to start this process
    #[arg(long, hide = true)]
    pub memory_probe: Option<Probe>,

    // Passed to every benchmark by cargo and test runners.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
}

impl Args {
    pub fn config(&self) -> BenchConfig {
        let scale = self.scale();
        let (rounds, slice) = match scale {
            Scale::Full => (5, Duration::from_millis(500)),
            Scale::Quick => (2, Duration::from_millis(100)),
            Scale::Test => (1, Duration::from_millis(5)),
        };
        BenchConfig {
            scale,
            rounds: self.rounds.unwrap_or(rounds) as usize,
            slice: self.seconds.unwrap_or(slice),
            dir: self.dir.clone().unwrap_or_else(scratch_root),
            memory: self.memory_dir.is_dir().then(|| self.memory_dir.clone()),
        }
    }

    fn scale(&self) -> Scale {
        match (is_test(), self.quick) {
            (true, _) => Scale::Test,
            (false, true) => Scale::Quick,
            (false, false) => Scale::Full,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(seconds) if !seconds.is_zero() => Ok(seconds),
        _ => Err("a number of seconds above zero".to_owned()),
    }
}
