//! Damaged logs: the output of `verify`, and the effect of `repair`.

use std::fs;
use std::path::Path;

use serde_json::json;
use tidewal::{Lsn, Wal};

use crate::helpers::{Log, tidewal, wait_for};

/// A byte in the payload of the first record after the header block.
const FIRST_PAYLOAD: u64 = 4096 + 20 + 3;

#[test]
fn every_damaged_range_is_named() {
    let log = Log::make();
    log.damage(0, FIRST_PAYLOAD + 28);
    log.damage(0, FIRST_PAYLOAD + 28 * 5);
    log.damage(2, FIRST_PAYLOAD);
    let ran = tidewal(&["verify", log.path(), "--json"]);
    assert_eq!(ran.code, 1);
    let json = ran.json();
    let corruptions = json["corruptions"].as_array().unwrap();
    let found: Vec<_> = corruptions
        .iter()
        .map(|corruption| {
            (
                corruption["label"].clone(),
                corruption["first"].clone(),
                corruption["last"].clone(),
            )
        })
        .collect();
    let third = json["segments"][2]["base"].clone();
    assert_eq!(
        found,
        [
            (json!("sealed-damaged"), json!(2), json!(2)),
            (json!("sealed-damaged"), json!(6), json!(6)),
            (json!("proven-lost"), third.clone(), third),
        ]
    );
    assert_eq!(corruptions[0]["offset"], 4096 + 28);
    let ran = tidewal(&["verify", log.path()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let text = ran.text();
    assert!(
        text.contains("not sound: 3 damaged places. 897 records"),
        "{text}"
    );
}

#[test]
fn repair_shows_first_and_does_it_with_yes() {
    let log = Log::make();
    let whole: Vec<_> = log
        .segments()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    log.damage(1, FIRST_PAYLOAD + 31);
    let damaged: Vec<_> = log
        .segments()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let ran = tidewal(&["repair", log.path()]);
    assert_eq!(ran.code, 1);
    for said in [
        "Nothing was changed".to_owned(),
        format!("tidewal dump {} --salvage", log.path()),
        "to repair-1/".to_owned(),
    ] {
        assert!(ran.text().contains(&said), "{said}: {}", ran.text());
    }
    for file in &log.segments()[1..] {
        let name = file.file_name().unwrap().to_str().unwrap();
        let step = format!("copy {name} to repair-1/{name}.kept");
        assert!(ran.text().contains(&step), "{step}: {}", ran.text());
    }
    let untouched: Vec<_> = log
        .segments()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert_eq!(damaged, untouched);
    let names = log.segments();

    let ran = tidewal(&["repair", log.path(), "--yes"]);
    assert!(
        ran.assert_ok()
            .text()
            .contains("repair-1 holds 2 files as they were before"),
        "{}",
        ran.text()
    );
    tidewal(&["verify", log.path()]).assert_ok();
    assert!(
        tidewal(&["repair", log.path()])
            .assert_ok()
            .text()
            .contains("nothing is damaged")
    );
    assert_eq!(fs::read(&names[0]).unwrap(), whole[0]);
    for index in [1, 2] {
        let name = names[index].file_name().unwrap().to_str().unwrap();
        let kept = log.dir.join("repair-1").join(format!("{name}.kept"));
        assert_eq!(
            fs::read(kept).unwrap(),
            damaged[index],
            "every byte is kept"
        );
    }
    let note = fs::read_to_string(log.dir.join("repair-1/REPAIR.txt")).unwrap();
    assert!(note.contains("sealed-damaged"), "{note}");

    let last = tidewal(&["dump", log.path()]).lines().pop().unwrap();
    let (last, _) = last.split_once('\t').unwrap();
    let wal = log.open();
    let lsn = wait_for(wal.append("after")).unwrap();
    assert_eq!(lsn, Lsn::new(last.parse().unwrap()).next());
    wait_for(wal.close()).unwrap();
}

#[test]
fn a_log_that_lost_its_only_header_goes_on_beyond_what_it_held() {
    let log = Log::empty();
    log.fill(1, 50);
    log.damage(0, 20);
    let text = tidewal(&["verify", log.path()]).text();
    let unknown = "No record that can be read tells whether this is the log of a raft node";
    assert!(text.contains(unknown), "{text}");
    let refused = tidewal(&["repair", log.path(), "--yes"]);
    refused.assert_failed(1, unknown);
    let ran = tidewal(&["repair", log.path(), "--yes", "--not-raft"]);
    ran.assert_ok();
    tidewal(&["verify", log.path()]).assert_ok();
    let next = (16 * 1024 - 4096) / 20 + 1;
    assert!(
        ran.text()
            .contains(&format!("The next append gets LSN {next}.")),
        "{}",
        ran.text()
    );
    let error = wait_for(Wal::options().start_at(Lsn::new(51)).read(&log.dir)).unwrap_err();
    assert!(matches!(error, tidewal::Error::Truncated { .. }));
}

#[test]
fn dump_stops_at_damage_and_salvage_goes_on() {
    let log = Log::make();
    log.damage(0, FIRST_PAYLOAD + 28 * 5);
    let ran = tidewal(&["dump", log.path()]);
    ran.assert_failed(1, "sealed-damaged");
    let next = format!("`tidewal verify {}`", log.path());
    assert!(ran.stderr.contains(&next), "{}", ran.stderr);
    // Only what reads everything can tell whether a repair is right.
    assert!(!ran.stderr.contains("tidewal repair"), "{}", ran.stderr);
    assert_eq!(
        ran.lines().len(),
        5,
        "what comes before the damage is printed"
    );
    let ran = tidewal(&["dump", log.path(), "--salvage"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.lines().len(), 899);
    assert!(
        ran.stderr.contains("Record 6, which was durable"),
        "{}",
        ran.stderr
    );
    let ran = tidewal(&[
        "dump",
        log.path(),
        "--salvage",
        "--from",
        "5",
        "--to",
        "8",
        "--raw",
    ]);
    assert_eq!(ran.text(), "record 5\nrecord 7\nrecord 8\n");
}

#[test]
fn a_later_format_is_not_touched() {
    let log = Log::make();
    let path = &log.segments()[1];
    make_version_2(path);
    let bytes = fs::read(path).unwrap();
    assert_eq!(tidewal(&["verify", log.path()]).code, 2);
    tidewal(&["repair", log.path(), "--yes"]).assert_failed(2, "format version 2");
    assert_eq!(fs::read(path).unwrap(), bytes);
}

/// A log in which one segment is damaged and another one was written by a later version. Whichever comes first, the
/// answer is a newer version, and never a repair.
#[test]
fn a_later_version_is_never_answered_with_a_repair() {
    let orders: [(usize, usize, u64); 4] = [
        (0, 1, FIRST_PAYLOAD),
        (1, 0, FIRST_PAYLOAD),
        (2, 0, 20),
        (0, 2, 20),
    ];
    for (damaged, later, at) in orders {
        for change in [make_version_2, use_reserved_byte] {
            let log = Log::make();
            log.damage(damaged, at);
            change(&log.segments()[later]);
            let verified = tidewal(&["verify", log.path()]);
            assert_eq!(verified.code, 2, "{}", verified.text());
            let text = verified.text();
            assert!(text.contains("damaged: "), "{text}");
            assert!(
                text.contains("next: use a newer version of tidewal"),
                "{text}"
            );
            let json = tidewal(&["verify", log.path(), "--json"]);
            assert_eq!((json.code, &json.json()["sound"]), (2, &json!(false)));
            let repaired = tidewal(&["repair", log.path(), "--yes", "--not-raft"]);
            repaired.assert_failed(2, "next: use a newer version of tidewal");
            for arguments in [
                &["inspect"][..],
                &["verify"],
                &["dump"],
                &["dump", "--salvage"],
            ] {
                let ran = tidewal(&[arguments, &[log.path()]].concat());
                let said = format!("{}{}", ran.text(), ran.stderr);
                assert_ne!(ran.code, 0, "{arguments:?}: {said}");
                assert!(!said.contains("tidewal repair"), "{arguments:?}: {said}");
            }
        }
    }
}

/// Gives a segment a header of a later version.
fn make_version_2(segment: &Path) {
    let mut bytes = fs::read(segment).unwrap();
    bytes[8] = 2;
    let crc = crc32fast::hash(&bytes[..68]);
    bytes[68..72].copy_from_slice(&crc.to_le_bytes());
    fs::write(segment, &bytes).unwrap();
}

/// Sets a byte that is zero in this version.
fn use_reserved_byte(segment: &Path) {
    let mut bytes = fs::read(segment).unwrap();
    bytes[2000] = 1;
    fs::write(segment, &bytes).unwrap();
}

/// A flipped bit in an unused byte looks like a later version. The command says what to do about
/// it, and that works.
#[test]
fn a_damaged_reserved_byte_can_be_set_to_zero_in_a_copy() {
    let log = Log::make();
    let path = &log.segments()[1];
    let mut bytes = fs::read(path).unwrap();
    bytes[3000] = 16;
    fs::write(path, &bytes).unwrap();
    let next =
        "byte 3000 of the file is damaged: restore a backup, or set that byte to 0 in a copy";
    let verified = tidewal(&["verify", log.path()]);
    assert_eq!(verified.code, 2);
    assert!(verified.text().contains(next), "{}", verified.text());
    tidewal(&["dump", log.path()]).assert_failed(2, next);
    tidewal(&["repair", log.path(), "--yes"]).assert_failed(2, next);
    assert_eq!(fs::read(path).unwrap(), bytes);
    bytes[3000] = 0;
    fs::write(path, &bytes).unwrap();
    assert_eq!(tidewal(&["verify", log.path()]).code, 0);
}

/// The instructions of the note in the folder work.
#[test]
fn kept_files_can_be_read_in_a_directory_of_their_own() {
    let log = Log::make();
    let second = log.segments()[1].clone();
    let head = fs::read(&second).unwrap();
    log.damage(0, FIRST_PAYLOAD);
    let ran = tidewal(&["repair", log.path(), "--yes"]);
    let said = "repair-1 holds 2 files as they were before";
    assert!(ran.assert_ok().text().contains(said), "{}", ran.text());
    let folder = log.dir.join("repair-1");
    let note = fs::read_to_string(folder.join("REPAIR.txt")).unwrap();
    assert!(note.contains("Never put these files back"), "{note}");
    let name = second.file_name().unwrap().to_str().unwrap();
    let kept = fs::read(folder.join(format!("{name}.kept"))).unwrap();
    assert_eq!(kept, head, "its header block was changed");
    assert_ne!(fs::read(&second).unwrap(), head);

    let other = Log::empty();
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|end| end == "kept") {
            fs::copy(&file, other.dir.join(file.file_stem().unwrap())).unwrap();
        }
    }
    let ran = tidewal(&["dump", other.path(), "--salvage", "--to", "3", "--raw"]);
    assert_eq!(ran.text(), "record 2\nrecord 3\n");
    assert_eq!(tidewal(&["verify", other.path()]).code, 1);
    tidewal(&["verify", log.path()]).assert_ok();
}

#[test]
fn where_no_file_was_cut_the_command_does_not_say_so() {
    let log = Log::make();
    let first = &log.segments()[0];
    let file = fs::File::options().write(true).open(first).unwrap();
    file.set_len(16 * 1024 - 1).unwrap();
    let ran = tidewal(&["repair", log.path(), "--yes"]);
    assert!(
        ran.assert_ok().text().contains("no file was cut"),
        "{}",
        ran.text()
    );
}

#[test]
fn two_logs_in_one_directory_are_for_a_person_to_part() {
    let log = Log::make();
    let other = Log::empty();
    other.fill(1, 10);
    fs::copy(
        &other.segments()[0],
        log.dir.join("00000000000000005000.wal"),
    )
    .unwrap();
    let ran = tidewal(&["repair", log.path(), "--yes"]);
    // Its header names another position, which does not matter here.
    ran.assert_ok();
    fs::copy(&other.segments()[0], &log.segments()[0]).unwrap();
    let ran = tidewal(&["repair", log.path(), "--yes"]);
    ran.assert_failed(2, "files of 2 logs");
    let name = log.segments()[1]
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert!(ran.stderr.contains(&name), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("Move the files of the others"),
        "{}",
        ran.stderr
    );
}

/// Changes a segment's file.
type Harm<'a> = &'a dyn Fn(&Path);

/// A log whose newest header cannot be read may not be empty.
#[test]
fn a_log_whose_end_cannot_be_read_is_not_called_empty() {
    let damaged = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[20] ^= 1;
        fs::write(path, &bytes).unwrap();
    };
    let harms: [(Harm, i32); 3] = [(&make_version_2, 2), (&use_reserved_byte, 2), (&damaged, 1)];
    for (harm, code) in harms {
        for records in [900, 50] {
            let log = Log::empty();
            log.fill(1, records);
            harm(log.segments().last().unwrap());
            let ran = tidewal(&["inspect", log.path()]);
            assert_eq!(ran.code, code);
            let text = ran.text();
            assert!(!text.contains("none."), "{text}");
            assert!(text.contains("how the log ends cannot be read"), "{text}");
            let json = tidewal(&["inspect", log.path(), "--json"]).json();
            assert_eq!(json["end"], serde_json::Value::Null);
            let text = tidewal(&["verify", log.path()]).text();
            let is_later = text.contains("use a newer version of tidewal");
            let is_repair = text.contains("tidewal repair");
            assert_eq!((is_later, is_repair), (code == 2, code == 1), "{text}");
        }
    }
}
