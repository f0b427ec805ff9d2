//! What the archive's commands say about a failure and about the next step.

use std::fs;
use std::path::Path;

use super::helpers::Shipped;
use crate::helpers::{Log, Ran, tidewal};

fn assert_says(ran: &Ran, said: &str) {
    let text = format!("{}{}", ran.text(), ran.stderr);
    assert!(text.contains(said), "{said} is not in {text}");
}

#[test]
fn a_range_that_is_empty_is_to_be_named_again() {
    let ran = Shipped::make().restore("copy", &["--from", "10", "--until-lsn", "5"]);
    ran.assert_failed(2, "next: name a --from that is not after --until-lsn");
}

#[test]
fn a_mistyped_local_store_is_named() {
    let shipped = Shipped::make();
    let (none, plain) = (shipped.path("none"), shipped.path("plain"));
    fs::write(&plain, "").unwrap();
    let copy = shipped.path("copy");
    let next = "next: check the path: it must be the directory of an archive";
    for (store, said) in [
        (&none, format!("there is no directory {none}\n")),
        (&plain, format!("{plain} is not a directory\n")),
    ] {
        for arguments in [
            &["archive", "show", store][..],
            &["archive", "verify", store],
            &["archive", "prune", store, "--before-lsn", "5"],
            &["restore", store, &copy],
        ] {
            tidewal(arguments).assert_failed(2, &said);
            tidewal(arguments).assert_failed(2, next);
        }
    }
    let ran = tidewal(&["archive", "ship", shipped.log.path(), &plain]);
    ran.assert_failed(2, &format!("{plain} is not a directory\n"));
}

#[test]
fn a_damaged_log_that_is_shipped_is_to_be_verified() {
    let (shipped, log) = (Shipped::make(), Log::make());
    log.damage(0, 4096 + 20 + 28 * 5);
    let ran = tidewal(&["archive", "ship", log.path(), &shipped.path("other")]);
    let next = format!("next: see the damage with `tidewal verify {}`", log.path());
    ran.assert_failed(1, &next);
    // The frame itself.
    log.damage(0, 4096 + 28 * 5);
    let ran = tidewal(&["archive", "ship", log.path(), &shipped.path("another")]);
    ran.assert_failed(1, "the next record is missing or damaged");
}

#[test]
fn bad_objects_are_named_with_their_store() {
    let shipped = Shipped::make();
    let part = shipped.newest_part();
    fs::remove_file(&part).unwrap();
    let part = part.to_str().unwrap();
    let ran = tidewal(&["archive", "verify", &shipped.store()]);
    assert_says(&ran, &format!("bad: {part} is missing. It held LSN "));
    let ran = shipped.restore("copy", &[]);
    ran.assert_failed(1, &format!("tidewal: {part} is missing"));
    let entry = Path::new(&shipped.store()).join(format!("manifest/{:020}", 2));
    fs::write(&entry, "x").unwrap();
    let ran = tidewal(&["archive", "show", &shipped.store()]);
    ran.assert_failed(1, &format!("tidewal: {} is damaged", entry.display()));
}

#[test]
fn a_file_in_the_place_of_a_directory_is_said_to_be_that() {
    let shipped = Shipped::make();
    let segments = Path::new(&shipped.store()).join("segments");
    let segment = shipped.newest_part().parent().unwrap().to_owned();
    for (path, what) in [
        (&segment, "the directory of a segment"),
        (&segments, "the directory `segments` of the archive"),
    ] {
        fs::remove_dir_all(path).unwrap();
        fs::write(path, "").unwrap();
        let said = format!("{} is a regular file, not {what}", path.display());
        tidewal(&["archive", "show", &shipped.store()]).assert_failed(1, &said);
    }
}

#[test]
fn both_bounds_of_a_prune_are_offered() {
    let ran = tidewal(&["archive", "prune", "store"]);
    assert_eq!(ran.code, 2);
    for bound in ["--before-lsn <LSN>", "--before-time <TIME>"] {
        assert_says(&ran, bound);
    }
}

#[test]
fn a_log_that_differs_from_its_archive_is_compared_up_to_an_lsn() {
    let shipped = Shipped::make();
    shipped.restore("copy", &["--until-lsn", "100"]).assert_ok();
    let copy = shipped.path("copy");
    let mut input = String::new();
    (0..100).for_each(|_| input.push_str("another\n"));
    crate::helpers::tidewal_with_input(&["append", &copy], input.as_bytes()).assert_ok();
    let ran = tidewal(&["archive", "ship", &copy, &shipped.store()]);
    ran.assert_failed(2, "and the log differ, at LSN ");
    assert_says(&ran, " at the latest");
    assert_says(&ran, "next: ship this log to another STORE");
}
