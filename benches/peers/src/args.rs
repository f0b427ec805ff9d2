//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::workload::{self, Workload};

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Args {
    pub mode: Mode,
    pub rounds: usize,
    pub seconds: Duration,
    pub dir: Option<PathBuf>,
    pub workloads: Vec<Workload>,
    /// Whether logs are read back too, and memory is measured.
    pub parts: Parts,
    pub only: Vec<String>,
    pub markdown: Option<PathBuf>,
    /// For `--check`: the bytes of a payload, and the number of appends.
    pub len: usize,
    pub appends: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub recovery: bool,
    pub memory: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Compare,
    /// Trace each peer, and look for the sync between write and acknowledgment.
    Check,
    /// The traced process: some appends to this peer, each followed by a mark.
    Traced(String),
    /// The process whose memory is measured: this peer, under load.
    MemoryOf(String),
    List,
    Help,
}

pub const HELP: &str = "\
tidewal beside its peers, each on its durable path.

  --workloads A,B,..   only these, by the names that --list prints; `recovery` and `memory` too
  --only A,B,..        only these peers
  --rounds N           rounds, in each of which every peer is measured (3)
  --seconds S          for how long each is measured in a round (0.5), after a warm-up of 0.2
  --dir D              where to write: on the disk in question (beside the executable)
  --markdown FILE      write the tables there, too
  --check              count the syncs of each peer under strace instead
  --len N              bytes of a payload in a check (100)
  --appends N          so many appends of each peer in a check (50)
  --list               print the names
";

impl Default for Args {
    fn default() -> Self {
        Self {
            mode: Mode::Compare,
            rounds: 3,
            seconds: Duration::from_millis(500),
            dir: None,
            workloads: workload::ALL.to_vec(),
            parts: Parts {
                recovery: true,
                memory: true,
            },
            only: Vec::new(),
            markdown: None,
            len: 100,
            appends: 50,
        }
    }
}

impl Args {
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let (mut args, mut words) = (Self::default(), words.into_iter());
        while let Some(flag) = words.next() {
            args.take(&flag, &mut words)
                .with_context(|| flag.clone())
                .context("--help says what there is")?;
        }
        args.validated()
    }

    /// Takes one flag, and its value if it has one.
    fn take(&mut self, flag: &str, words: &mut impl Iterator<Item = String>) -> Result<()> {
        let mut value = || words.next().context("a value is missing");
        match flag {
            "--rounds" => self.rounds = value()?.parse()?,
            "--seconds" => self.seconds = Duration::try_from_secs_f64(value()?.parse()?)?,
            "--dir" => self.dir = Some(value()?.into()),
            "--workloads" => self.choose(&value()?)?,
            "--len" => self.len = value()?.parse()?,
            "--only" => self.only = value()?.split(',').map(str::to_owned).collect(),
            "--markdown" => self.markdown = Some(value()?.into()),
            "--appends" => self.appends = value()?.parse()?,
            "--check" => self.mode = Mode::Check,
            "--traced" => self.mode = Mode::Traced(value()?),
            "--memory-of" => self.mode = Mode::MemoryOf(value()?),
            "--list" => self.mode = Mode::List,
            "--help" | "-h" => self.mode = Mode::Help,
            _ => bail!("unknown"),
        }
        Ok(())
    }

    fn choose(&mut self, list: &str) -> Result<()> {
        let names: Vec<&str> = list.split(',').collect();
        let known = |name: &str| workload::ALL.iter().any(|workload| workload.name == name);
        let unknown = names
            .iter()
            .find(|&&name| !known(name) && name != RECOVERY && name != MEMORY);
        ensure!(unknown.is_none(), "no workload is called {unknown:?}");
        self.workloads
            .retain(|workload| names.contains(&workload.name));
        self.parts = Parts {
            recovery: names.contains(&RECOVERY),
            memory: names.contains(&MEMORY),
        };
        Ok(())
    }

    fn validated(self) -> Result<Self> {
        ensure!(
            self.rounds > 0 && !self.seconds.is_zero() && self.appends > 0,
            "rounds, seconds and appends are at least 1"
        );
        ensure!(
            (SHORTEST..=LONGEST).contains(&self.len),
            "a payload has {SHORTEST} to {LONGEST} bytes"
        );
        Ok(self)
    }
}

pub const RECOVERY: &str = "recovery";
pub const MEMORY: &str = "memory";

/// The mark of `--check` must fit into a payload.
const SHORTEST: usize = 24;
const LONGEST: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_and_their_values_are_taken() {
        let args = parse("--rounds 5 --seconds 0.6 --workloads 64,1,memory --only tidewal,okaywal");
        let args = args.unwrap();
        assert_eq!((args.rounds, args.seconds), (5, Duration::from_millis(600)));
        let names: Vec<_> = args
            .workloads
            .iter()
            .map(|workload| workload.name)
            .collect();
        assert_eq!(names, ["1", "64"]);
        assert!(args.parts.memory && !args.parts.recovery);
        assert_eq!(args.only, ["tidewal", "okaywal"]);
        assert_eq!(args.mode, Mode::Compare);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--nonsense",
            "--rounds",
            "--rounds 0",
            "--workloads 2",
            "--len 1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
