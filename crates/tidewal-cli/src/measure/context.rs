//! Where and for how long a scenario is measured.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::measure::config::{BenchConfig, Scale};
use crate::measure::log::{Log, Shape};
use crate::measure::scratch::{MIB, scratch_in};

pub struct BenchContext {
    /// The multi-threaded runtime of the producers.
    pub runtime: Runtime,
    pub scale: Scale,
    pub rounds: usize,
    pub slice: Duration,
    pub dir: PathBuf,
    /// A directory on a memory file system, if there is one.
    pub memory: Option<PathBuf>,
    /// Hidden unless standard error is a terminal.
    pub progress: ProgressBar,
}

impl BenchContext {
    pub fn new(config: BenchConfig, scenarios: usize) -> Self {
        let BenchConfig {
            scale,
            rounds,
            slice,
            dir,
            memory,
        } = config;
        Self {
            runtime: Runtime::new().expect("a runtime can be made"),
            scale,
            rounds,
            slice,
            dir,
            memory,
            progress: progress((scenarios * rounds) as u64 * ROUND_STEPS),
        }
    }

    /// Shows which scenario is running.
    pub fn announce(&self, name: &'static str) {
        self.progress.set_prefix(name);
        self.progress.set_message("getting ready");
    }

    /// Prints results, except in a test.
    pub fn say(&self, text: &str) {
        if self.scale != Scale::Test {
            self.progress.suspend(|| print!("{text}"));
        }
    }

    /// An empty directory on the disk.
    pub fn scratch(&self) -> TempDir {
        scratch_in(&self.dir)
    }

    /// A log on the disk.
    pub fn log(&self, shape: Shape) -> Log {
        Log::open(&self.runtime, self.scratch(), self.sized(shape))
    }

    /// The same log in memory.
    pub fn log_in_memory(&self, shape: Shape) -> Option<Log> {
        let dir = scratch_in(self.memory.as_ref()?);
        Some(Log::open(&self.runtime, dir, self.sized(shape)))
    }

    /// Smaller in a test, which has no time to write large segments ahead.
    fn sized(&self, shape: Shape) -> Shape {
        let segment_len = self.scale.or_in_test(shape.segment_len, MIB);
        Shape {
            segment_len,
            ..shape
        }
    }

    /// Fewer producers in a test.
    pub fn producers(&self, count: usize) -> usize {
        self.scale.or_in_test(count, count.min(64))
    }
}

fn progress(len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {prefix} {msg}")
        .expect("the template is sound");
    ProgressBar::new(len).with_style(style)
}

/// The length of a round on the progress bar, which advances with each method.
pub const ROUND_STEPS: u64 = 1000;
