//! `restore`.

use std::fs;

use super::helpers::Shipped;
use crate::helpers::tidewal;

#[test]
fn a_log_goes_into_a_directory_and_comes_back() {
    let shipped = Shipped::make();
    let again = shipped.ship();
    assert!(
        again.assert_ok().text().contains("up to LSN 900 was in"),
        "{}",
        again.text()
    );
    let shown = tidewal(&["archive", "show", &shipped.store(), "--json"]);
    let shown = shown.assert_ok().json();
    assert_eq!(
        (&shown["oldest"], &shown["end"], &shown["segments"]),
        (&1.into(), &900.into(), &3.into())
    );
    let verified = tidewal(&["archive", "verify", &shipped.store()]);
    let text = verified.assert_ok().text();
    assert!(text.contains("LSN 1 to 900"), "{text}");
    assert!(text.contains("sound: every record"), "{text}");
    let restored = shipped.restore("copy", &[]);
    let text = restored.assert_ok().text();
    assert!(text.starts_with("restored: LSN 1 to 900 in "), "{text}");
    let copy = tidewal(&["dump", &shipped.path("copy"), "--raw"]);
    let original = tidewal(&["dump", shipped.log.path(), "--raw"]);
    assert_eq!(copy.assert_ok().text(), original.assert_ok().text());
}

#[test]
fn a_restore_ends_where_it_is_told() {
    let shipped = Shipped::make();
    shipped
        .restore("until", &["--until-lsn", "500"])
        .assert_ok();
    assert_eq!(shipped.last_restored("until"), "record 500");
    let restored = shipped.restore("from", &["--from", "900", "--json"]);
    let restored = restored.assert_ok().json();
    assert_eq!(
        (&restored["end"], &restored["segments"]),
        (&900.into(), &1.into())
    );
    shipped
        .restore("now", &["--until-time", "2999-01-01 00:00:00"])
        .assert_ok();
    assert_eq!(shipped.last_restored("now"), "record 900");
    let early = shipped.restore("early", &["--until-time", "2001-01-01T00:00:00Z"]);
    early.assert_failed(2, "before the first time in the archive");
    let beyond = shipped.restore("beyond", &["--until-lsn", "901"]);
    beyond.assert_failed(2, "beyond the end of the archive, which is LSN 900");
}

#[test]
fn a_directory_that_holds_something_is_left_alone() {
    let shipped = Shipped::make();
    let (log, store) = (shipped.log.path(), shipped.store());
    let ran = tidewal(&["restore", &store, log]);
    ran.assert_failed(2, "is not empty");
    tidewal(&["verify", log]).assert_ok();
}

/// A lock file alone would make the directory a log's directory for every other command.
#[test]
fn a_refused_restore_leaves_no_file_behind() {
    let shipped = Shipped::make();
    for files in [&["notes.txt"][..], &["RESTORING", "notes.txt"]] {
        let home = tempfile::tempdir().unwrap();
        for name in files {
            fs::write(home.path().join(name), "mine").unwrap();
        }
        let dir = home.path().to_str().unwrap();
        let ran = tidewal(&["restore", &shipped.store(), dir]);
        ran.assert_failed(2, "is not empty: it holds notes.txt");
        let names = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, files);
    }
}

#[test]
fn a_range_that_ends_before_it_begins_is_said_to_be_that() {
    let shipped = Shipped::make();
    let ran = shipped.restore("copy", &["--from", "800", "--until-lsn", "500"]);
    ran.assert_failed(2, "LSN 800 is after LSN 500");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let shipped = Shipped::make();
    let ran = tidewal(&["restore", &shipped.store(), "/proc/nothing"]);
    ran.assert_failed(2, "next: check the path of the directory to be created");
}
