//! Objects that are damaged or missing.

use std::fs;
use std::path::Path;

use super::helpers::Shipped;
use crate::helpers::tidewal;

#[test]
fn an_object_that_changed_is_named() {
    let shipped = Shipped::make();
    let part = shipped.newest_part();
    let mut bytes = fs::read(&part).unwrap();
    bytes[5000] ^= 1;
    fs::write(&part, bytes).unwrap();
    let verified = tidewal(&["archive", "verify", &shipped.store()]);
    verified.assert_failed(1, "1 bad object in");
    assert!(
        verified.text().contains("/0000 is damaged"),
        "{}",
        verified.text()
    );
    shipped
        .restore("copy", &[])
        .assert_failed(1, "/0000 is damaged");
    // Every command reports an unfinished restore, and there is nothing to repair.
    let copy = shipped.path("copy");
    let other = shipped.path("other-store");
    let ship = ["archive", "ship", &copy, &other];
    let one = |command| vec![command, copy.as_str()];
    let commands = ["inspect", "verify", "dump", "repair", "append"].map(one);
    for command in commands.into_iter().chain([ship.to_vec()]) {
        let ran = tidewal(&command);
        ran.assert_failed(2, "is not finished");
        assert!(
            ran.stderr.contains("next: run `tidewal restore STORE "),
            "{}",
            ran.stderr
        );
    }
    let ran = tidewal(&["repair", "--yes", &copy]);
    ran.assert_failed(2, "is not finished");
    let mut bytes = fs::read(&part).unwrap();
    bytes[5000] ^= 1;
    fs::write(&part, bytes).unwrap();
    shipped.restore("copy", &[]).assert_ok();
    tidewal(&["verify", &copy]).assert_ok();
}

/// The clock of the machine was far ahead.
#[test]
fn regression_a_time_after_the_year_9999_can_be_shown() {
    let shipped = Shipped::make();
    let store = shipped.store();
    let entry = Path::new(&store).join(format!("manifest/{:020}", 4));
    let text = fs::read_to_string(&entry).unwrap();
    for time in [253_402_300_799_999, 253_402_300_800_000, u64::MAX] {
        let later = |line: &str| match line.rsplit_once(' ') {
            Some((before, _)) if line.starts_with("clock ") || line.starts_with("time ") => {
                format!("{before} {time}\n")
            }
            _ => format!("{line}\n"),
        };
        let lines = text.lines().filter(|line| !line.starts_with("check "));
        let forged: String = lines.map(later).collect();
        let check = crc32fast::hash(forged.as_bytes());
        fs::write(&entry, format!("{forged}check {check:08x}\n")).unwrap();
        let said = match time {
            253_402_300_799_999 => "9999-12-31T23:59:59.999Z",
            _ => "after the year 9999",
        };
        let copy = shipped.path(&time.to_string());
        for arguments in [
            &["archive", "show", &store][..],
            &["archive", "show", &store, "--json"],
            &["archive", "verify", &store],
            &["restore", &store, &copy],
        ] {
            let ran = tidewal(arguments);
            let text = ran.assert_ok().text();
            assert!(text.contains(said), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn every_object_that_is_bad_is_named_with_its_records() {
    let shipped = Shipped::make();
    let segments = fs::read_dir(Path::new(&shipped.store()).join("segments")).unwrap();
    let mut parts: Vec<_> = segments
        .map(|entry| entry.unwrap().path().join("0000"))
        .collect();
    parts.sort();
    for part in &parts[1..3] {
        fs::write(part, "something else").unwrap();
    }
    let verified = tidewal(&["archive", "verify", &shipped.store()]);
    verified.assert_failed(1, "2 bad objects in");
    let bad: Vec<_> = verified
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("bad: "))
        .collect();
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(
        bad.iter().all(|line| line.contains("It held LSN ")),
        "{bad:?}"
    );
    let verified = tidewal(&["archive", "verify", &shipped.store(), "--json"]);
    let bad = &verified.json()["bad"];
    assert_eq!(bad.as_array().unwrap().len(), 2, "{bad}");
    assert!(bad[0]["last"].as_u64() < bad[1]["first"].as_u64(), "{bad}");
}

#[test]
fn an_archive_with_a_hole_in_its_manifest_is_no_success() {
    let shipped = Shipped::make();
    let entry = Path::new(&shipped.store()).join(format!("manifest/{:020}", 2));
    fs::remove_file(entry).unwrap();
    let ran = shipped.ship();
    ran.assert_failed(1, "is missing");
    assert!(!ran.stderr.contains("--until-lsn"), "{}", ran.stderr);
}
