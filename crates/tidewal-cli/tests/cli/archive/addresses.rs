//! The path or URL of an archive, and wrong ones.

use std::fs;
use std::path::Path;

use super::helpers::Shipped;
use crate::helpers::{Log, Ran, command, missing, tidewal};

#[test]
fn names_that_are_wrong_make_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (log, store) = (missing(root.path()), root.path().join("store"));
    let store = store.to_str().unwrap();
    let ran = tidewal(&["archive", "ship", &log, store]);
    ran.assert_failed(2, "next: check the path");
    let ran = tidewal(&["archive", "ship", root.path().to_str().unwrap(), store]);
    ran.assert_failed(2, "is not a log's directory");
    tidewal(&["archive", "show", store]).assert_failed(2, "there is no directory");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    fs::create_dir(store).unwrap();
    tidewal(&["archive", "show", store]).assert_failed(2, "there is no archive in");
    tidewal(&["restore", store, &log]).assert_failed(2, "there is no archive in");
    assert!(!Path::new(&log).exists());
}

#[test]
fn a_store_that_would_not_last_is_refused() {
    let log = Log::make();
    let ran = tidewal(&["archive", "ship", log.path(), "memory://somewhere"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("lost when the command ends"));
    let ran = tidewal(&["archive", "ship", log.path(), "gopher://somewhere"]);
    ran.assert_failed(2, "as a store");
}

#[test]
fn a_url_without_its_slashes_is_no_directory() {
    let (log, root) = (Log::make(), tempfile::tempdir().unwrap());
    for store in ["s3:bucket/orders", "S3:/bucket/orders", "memory:x"] {
        let mut ship = command(&["archive", "ship", log.path(), store]);
        let ran = Ran::from(ship.current_dir(root.path()).output().unwrap());
        assert_eq!(ran.code, 2, "{}", ran.text());
        assert!(ran.stderr.contains("write ./"), "{}", ran.stderr);
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    let mut ship = command(&["archive", "ship", log.path(), "./s3:bucket"]);
    Ran::from(ship.current_dir(root.path()).output().unwrap()).assert_ok();
    let mut ship = command(&["archive", "ship", log.path(), "missing/../2026-11-27T10:11"]);
    Ran::from(ship.current_dir(root.path()).output().unwrap()).assert_ok();
}

#[test]
fn a_log_and_its_archive_do_not_lie_in_each_other() {
    let shipped = Shipped::make();
    let (log, store) = (shipped.log.path().to_owned(), shipped.store());
    let inside = format!("{log}/../wal/backup");
    let around = shipped.log.dir.parent().unwrap().to_str().unwrap();
    for place in [log.as_str(), &inside, around] {
        let ran = tidewal(&["archive", "ship", &log, place]);
        ran.assert_failed(2, "one contains the other");
    }
    let copies = ["manifest/copy", "missing/../copy"];
    for copy in copies.map(|copy| format!("{store}/{copy}")) {
        let ran = tidewal(&["restore", &store, &copy]);
        ran.assert_failed(2, "one contains the other");
        assert!(!Path::new(&copy).exists());
    }
    assert!(!shipped.log.dir.join("manifest").exists());
}
