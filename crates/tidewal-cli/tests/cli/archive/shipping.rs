//! `archive ship`: what is shipped, and what is not.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::helpers::Shipped;
use crate::helpers::{command, tidewal};

#[test]
fn only_what_is_new_is_shipped() {
    let shipped = Shipped::make();
    shipped.log.fill(901, 910);
    let text = shipped.ship().assert_ok().text();
    assert!(text.contains("up to LSN 910"), "{text}");
    assert!(text.contains("Shipped 1 segment,"), "{text}");
}

/// A run that has nothing to ship leaves no trace.
#[test]
fn nothing_new_is_nothing_written() {
    let shipped = Shipped::make();
    let entries = || {
        fs::read_dir(Path::new(&shipped.store()).join("manifest"))
            .unwrap()
            .count()
    };
    let before = entries();
    for _ in 0..3 {
        let text = shipped.ship().assert_ok().text();
        assert!(text.contains("already"), "{text}");
    }
    assert_eq!(entries(), before);
}

/// An expiry rule of the bucket has removed the oldest objects.
#[test]
fn an_archive_that_has_expired_in_part_is_shipped_to_and_restored_from() {
    let shipped = Shipped::make();
    let store = shipped.store();
    let oldest = |folder: &str| {
        let found = fs::read_dir(Path::new(&store).join(folder)).unwrap();
        found.map(|entry| entry.unwrap().path()).min().unwrap()
    };
    fs::remove_dir_all(oldest("segments")).unwrap();
    for _ in 0..2 {
        fs::remove_file(oldest("manifest")).unwrap();
    }
    shipped.log.fill(901, 910);
    shipped.ship().assert_ok();
    shipped.restore("copy", &[]).assert_ok();
    assert_eq!(shipped.last_restored("copy"), "record 910");
}

#[test]
fn a_damaged_log_is_not_shipped_over_a_sound_archive() {
    let shipped = Shipped::make();
    shipped.log.fill(901, 1500);
    shipped.log.damage(3, 5000);
    shipped.ship().assert_failed(1, "is damaged at byte");
    let shown = tidewal(&["archive", "show", &shipped.store(), "--json"]);
    assert_eq!(shown.assert_ok().json()["end"], 900);
}

#[test]
fn what_goes_wrong_is_said_while_it_is_tried_again() {
    let shipped = Shipped::make();
    let part = shipped.newest_part();
    let part = part.strip_prefix(shipped.store()).unwrap();
    let store = shipped.path("other");
    // The part cannot be put.
    fs::create_dir_all(Path::new(&store).join(part)).unwrap();
    let mut ship = command(&["archive", "ship", shipped.log.path(), &store])
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(ship.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    ship.kill().unwrap();
    ship.wait().unwrap();
    assert!(line.contains("(retrying)"), "{line}");
}
