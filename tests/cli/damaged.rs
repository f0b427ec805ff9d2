//! Damaged logs: what `verify` says, what `repair` does.

use std::fs;

use serde_json::json;
use tidewal::{Lsn, Wal};

use crate::helpers::{Log, tidewal, wait_for};

/// A byte of the payload of the first record behind the header block.
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
    let damages = json["damages"].as_array().unwrap();
    let found: Vec<_> = damages
        .iter()
        .map(|damage| {
            (
                damage["label"].clone(),
                damage["first"].clone(),
                damage["last"].clone(),
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
    assert_eq!(damages[0]["offset"], 4096 + 28);
    let ran = tidewal(&["verify", log.path()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let text = ran.text();
    assert!(
        text.contains("not sound: 3 damaged places; 897 records"),
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
    assert!(ran.text().contains("Nothing was changed"), "{}", ran.text());
    let untouched: Vec<_> = log
        .segments()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert_eq!(damaged, untouched);
    let names = log.segments();

    let ran = tidewal(&["repair", log.path(), "--yes"]);
    assert!(
        ran.assert_ok().text().contains("repair-1"),
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
    let ran = tidewal(&["repair", log.path(), "--yes"]);
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
    assert_eq!(
        ran.lines().len(),
        5,
        "what comes before the damage is printed"
    );
    let ran = tidewal(&["dump", log.path(), "--salvage"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.lines().len(), 899);
    assert!(
        ran.stderr.contains("record 6 was durable"),
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
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 2;
    let crc = crc32fast::hash(&bytes[..68]);
    bytes[68..72].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, &bytes).unwrap();
    assert_eq!(tidewal(&["verify", log.path()]).code, 2);
    tidewal(&["repair", log.path(), "--yes"]).assert_failed(2, "format version 2");
    assert_eq!(fs::read(path).unwrap(), bytes);
}
