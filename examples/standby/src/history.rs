//! The history of a log: which primary appended which records.
//!
//! Each promotion begins an epoch with a higher term and a random id. The records of one epoch come from one
//! primary, so two logs that have a record of the same epoch agree on it and on everything before it.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

use tidewal::Lsn;

/// The records that one primary appended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Epoch {
    /// The number of promotions that its primary knew of.
    pub term: u64,
    /// A random number: two machines that are promoted independently may have the same term.
    pub id: u64,
    /// Its first record. It ends where the next epoch begins.
    pub first: Lsn,
}

/// The epochs of a log, oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    pub epochs: Vec<Epoch>,
}

impl History {
    /// The history of the log in `dir`. It is empty until the log has served or followed.
    pub fn load(dir: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(dir.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let epochs = text.lines().map(parse).collect::<Option<_>>();
        let epochs = epochs.ok_or_else(|| io::Error::other("the file `history` is damaged"))?;
        Ok(Self { epochs })
    }

    /// Once this has returned, the history survives a power cut.
    pub fn store(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let new = dir.join("history.new");
        let mut file = File::create(&new)?;
        for Epoch { term, id, first } in &self.epochs {
            writeln!(file, "{term} {id} {first}")?;
        }
        file.sync_all()?;
        fs::rename(&new, dir.join(NAME))?;
        File::open(dir)?.sync_all()
    }

    /// The highest term that the log has served or followed, or 0.
    pub fn term(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.term)
    }

    /// Begins an epoch. An epoch whose records this log never received is removed.
    pub fn begin(&mut self, term: u64, first: Lsn) {
        self.epochs.retain(|epoch| epoch.first < first);
        let id = RandomState::new().hash_one(term);
        self.epochs.push(Epoch { term, id, first });
    }

    /// Whether a log with this history, up to `end`, has the same records as a log with the history `primary`.
    pub fn is_followed_by(&self, end: Lsn, primary: &Self) -> bool {
        let Some(last) = self.epochs.iter().rfind(|epoch| epoch.first <= end) else {
            return end == Lsn::ZERO;
        };
        let mut rest = primary.epochs.iter().skip_while(|epoch| *epoch != last);
        rest.next().is_some() && rest.next().is_none_or(|next| next.first > end)
    }
}

fn parse(line: &str) -> Option<Epoch> {
    let mut numbers = line.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    let (term, id, first) = (next()?, next()?, next()?);
    Some(Epoch {
        term,
        id,
        first: Lsn::new(first),
    })
}

const NAME: &str = "history";

#[cfg(test)]
mod tests {
    use super::*;

    fn history(epochs: &[(u64, u64, u64)]) -> History {
        let epochs = epochs.iter().map(|&(term, id, first)| Epoch {
            term,
            id,
            first: Lsn::new(first),
        });
        History {
            epochs: epochs.collect(),
        }
    }

    #[test]
    fn a_log_is_followed_by_one_that_has_its_last_record() {
        let primary = history(&[(0, 7, 1), (1, 8, 101), (2, 9, 201)]);
        let follows = |own: &[_], end| history(own).is_followed_by(Lsn::new(end), &primary);
        assert!(follows(&[], 0), "an empty log");
        assert!(!follows(&[], 1), "a log of unknown history");
        assert!(follows(&[(0, 7, 1)], 100));
        assert!(!follows(&[(0, 7, 1)], 101), "the old primary went on");
        assert!(follows(&[(0, 7, 1), (1, 8, 101)], 200));
        assert!(follows(&[(0, 7, 1), (1, 8, 101)], 50), "it lags behind");
        assert!(!follows(&[(0, 7, 1), (1, 5, 101)], 150), "two promotions");
        assert!(!follows(&[(0, 6, 1)], 10), "another log");
    }

    #[test]
    fn a_promotion_removes_epochs_that_were_never_received() {
        let mut history = history(&[(0, 7, 1), (1, 8, 101)]);
        history.begin(2, Lsn::new(51));
        let terms: Vec<_> = history.epochs.iter().map(|epoch| epoch.term).collect();
        assert_eq!(terms, [0, 2]);
    }

    #[test]
    fn a_history_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(History::load(dir.path()).unwrap(), History::default());
        let history = history(&[(0, u64::MAX, 1), (1, 8, 101)]);
        history.store(dir.path()).unwrap();
        assert_eq!(History::load(dir.path()).unwrap(), history);
        fs::write(dir.path().join(NAME), "0 7").unwrap();
        assert!(History::load(dir.path()).is_err());
    }
}
