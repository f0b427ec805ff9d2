//! The logs of `tests/data`, and the verdicts of its `README.md`.

use std::fs;
use std::path::Path;

use tidewal::sim::SimDisk;

use crate::craft::{Read, append, survey};
use crate::support::DIR;

#[test]
fn a_previous_end_before_the_first_record_is_refused_before_any_is_read() {
    assert_verdict("damage-2183", &[], Some("chain-broken"));
}

#[test]
fn a_link_in_a_segment_that_has_a_successor_is_not_read() {
    let disk = assert_verdict("inner-link-2", &[1, 2, 3, 4], None);
    assert_eq!(append(&disk).unwrap(), 5);
}

#[test]
fn the_last_lsn_is_read_and_nothing_is_appended_behind_it() {
    let disk = assert_verdict("lsn-top-sealed", &[u64::MAX], None);
    let before = disk.fingerprint();
    let error = append(&disk).unwrap_err();
    assert!(
        matches!(error, tidewal::Error::LsnsExhausted { .. }),
        "{error:?}"
    );
    assert!(!error.is_outcome_unknown());
    assert_eq!(disk.fingerprint(), before, "nothing is changed");
    assert_verdict("lsn-top-sealed", &[u64::MAX], None);
}

#[test]
fn the_lag_of_a_statement_does_not_count() {
    assert_verdict("mark-3-lag-2", &[1], Some("proven-lost"));
}

/// Checks the verdicts of a recovery and a survey.
#[track_caller]
fn assert_verdict(log: &str, lsns: &[u64], label: Option<&str>) -> SimDisk {
    let disk = SimDisk::new(1);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(log);
    for entry in fs::read_dir(dir).expect("the logs are part of the repository") {
        let entry = entry.unwrap();
        let path = Path::new(DIR).join(entry.file_name());
        disk.write_file(path, fs::read(entry.path()).unwrap());
    }
    let read = Read::of(&disk);
    assert_eq!((read.lsns().as_slice(), read.label()), (lsns, label));
    let survey = survey(&disk);
    let found = survey
        .corruptions
        .first()
        .map(|corruption| corruption.kind.label());
    assert_eq!((found, survey.read_errors.len()), (label, 0));
    disk
}
