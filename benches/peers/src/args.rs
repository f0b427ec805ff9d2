//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Args {
    pub mode: Mode,
    pub rounds: usize,
    pub seconds: Duration,
    pub dir: Option<PathBuf>,
    pub producers: Vec<usize>,
    pub len: usize,
    pub only: Vec<String>,
    pub markdown: Option<PathBuf>,
    pub appends: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Compare,
    /// Trace each peer, and look for the sync between write and acknowledgement.
    Check,
    /// What is traced: this peer, some appends, each followed by a mark.
    Traced(String),
    List,
    Help,
}

pub const HELP: &str = "\
tidewal beside its peers, each on its durable path.

  --rounds N           rounds, in each of which every peer is measured (5)
  --seconds S          for how long each is measured in a round (0.6), after a warm-up of 0.2
  --producers A,B,..   producers, each with one append in flight (1,16,64,1024)
  --len N              bytes of a payload (100)
  --dir D              where to write: on the disk in question (beside the executable)
  --only A,B,..        only these peers, by the names that --list prints
  --markdown FILE      write the tables there, too
  --check              count the syncs of each peer under strace instead
  --appends N          so many appends of each peer in a check (50)
  --list               print the names
";

impl Default for Args {
    fn default() -> Self {
        Self {
            mode: Mode::Compare,
            rounds: 5,
            seconds: Duration::from_millis(600),
            dir: None,
            producers: vec![1, 16, 64, 1024],
            len: 100,
            only: Vec::new(),
            markdown: None,
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
            "--producers" => self.producers = numbers(&value()?)?,
            "--len" => self.len = value()?.parse()?,
            "--only" => self.only = value()?.split(',').map(str::to_owned).collect(),
            "--markdown" => self.markdown = Some(value()?.into()),
            "--appends" => self.appends = value()?.parse()?,
            "--check" => self.mode = Mode::Check,
            "--traced" => self.mode = Mode::Traced(value()?),
            "--list" => self.mode = Mode::List,
            "--help" | "-h" => self.mode = Mode::Help,
            _ => bail!("unknown"),
        }
        Ok(())
    }

    fn validated(self) -> Result<Self> {
        let producers = self
            .producers
            .iter()
            .all(|&n| (1..=MOST_PRODUCERS).contains(&n));
        if self.rounds == 0 || self.seconds.is_zero() || self.appends == 0 || !producers {
            bail!(
                "rounds, seconds, appends and producers are at least 1, producers at most {MOST_PRODUCERS}"
            );
        }
        if !(SHORTEST..=LONGEST).contains(&self.len) {
            bail!("a payload has {SHORTEST} to {LONGEST} bytes");
        }
        Ok(self)
    }
}

fn numbers(list: &str) -> Result<Vec<usize>> {
    list.split(',').map(|word| Ok(word.parse()?)).collect()
}

/// One thread each, for some of the peers.
pub const MOST_PRODUCERS: usize = 16 * 1024;

/// So that the mark of `--check` fits.
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
        let args =
            parse("--rounds 3 --seconds 0.5 --producers 1,4 --only tidewal,okaywal").unwrap();
        assert_eq!((args.rounds, args.seconds), (3, Duration::from_millis(500)));
        assert_eq!(args.producers, [1, 4]);
        assert_eq!(args.only, ["tidewal", "okaywal"]);
        assert_eq!(args.mode, Mode::Compare);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--nonsense",
            "--rounds",
            "--rounds 0",
            "--producers 0",
            "--len 1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
