//! The names of the files of a log (`docs/format.md`, "Files").

use crate::lsn::Lsn;

/// The file whose lock shows who has the directory open.
pub(crate) const LOCK: &str = "LOCK";

/// The file that marks a directory as an unfinished restore or backup.
pub(crate) const RESTORING: &str = "RESTORING";

/// The name of the segment whose first record is `base`.
pub(crate) fn segment(base: Lsn) -> String {
    format!("{:020}{SEGMENT_SUFFIX}", base.get())
}

/// The first LSN of the segment called `name`, or `None` if that is not a segment's name.
pub(crate) fn parse_segment(name: &str) -> Option<Lsn> {
    parse(name, SEGMENT_SUFFIX)
        .filter(|&number| number > 0)
        .map(Lsn::new)
}

/// The name of a spare file.
pub(crate) fn spare(number: u64) -> String {
    format!("{number:020}{SPARE_SUFFIX}")
}

/// Whether `name` is that of a spare file.
pub(crate) fn is_spare(name: &str) -> bool {
    parse(name, SPARE_SUFFIX).is_some()
}

/// The name of the snapshot that covers the records up to `lsn`.
#[cfg(feature = "snapshot")]
pub(crate) fn snapshot(lsn: Lsn) -> String {
    format!("{:020}{SNAPSHOT_SUFFIX}", lsn.get())
}

/// The LSN of the snapshot called `name`, or `None` if that is not a snapshot's name.
#[cfg(feature = "snapshot")]
pub(crate) fn parse_snapshot(name: &str) -> Option<Lsn> {
    parse(name, SNAPSHOT_SUFFIX)
        .filter(|&number| number > 0)
        .map(Lsn::new)
}

/// The reserved space for the next snapshot, and that snapshot until it is durable.
#[cfg(feature = "snapshot")]
pub(crate) const SNAPSHOT_SPARE: &str = "snapshot.spare";

/// Exactly twenty digits and the suffix. Any other name does not belong to the log.
fn parse(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

const SEGMENT_SUFFIX: &str = ".wal";
const SPARE_SUFFIX: &str = ".spare";
#[cfg(feature = "snapshot")]
const SNAPSHOT_SUFFIX: &str = ".snapshot";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for lsn in [Lsn::FIRST, Lsn::new(u64::MAX)] {
            assert_eq!(parse_segment(&segment(lsn)), Some(lsn));
        }
        assert_eq!(segment(Lsn::FIRST), "00000000000000000001.wal");
        assert!(is_spare(&spare(0)));
    }

    #[cfg(feature = "snapshot")]
    #[test]
    fn names_of_snapshots_are_no_names_of_the_log() {
        let name = snapshot(Lsn::new(7));
        assert_eq!(name, "00000000000000000007.snapshot");
        assert_eq!(parse_snapshot(&name), Some(Lsn::new(7)));
        for name in [name.as_str(), SNAPSHOT_SPARE] {
            assert_eq!(parse_segment(name), None);
            assert!(!is_spare(name));
        }
        assert_eq!(parse_snapshot("00000000000000000000.snapshot"), None);
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "1.wal",
            "00000000000000000000.wal",
            "00000000000000000001.wal~",
            "00000000000000000001.WAL",
            "0000000000000000000x.wal",
            "+0000000000000000001.wal",
            "99999999999999999999.wal",
            ".wal",
        ] {
            assert_eq!(parse_segment(name), None, "{name}");
        }
        assert!(!is_spare("00000000000000000001.wal"));
    }
}
