//! `tidewal inspect` and `verify` for sound logs, and for directories without a log.

use std::fs;
use std::io::{BufRead, BufReader, Write};

use serde_json::json;

use crate::helpers::{Log, missing, start, tidewal};

#[test]
fn a_closed_log_is_shown() {
    let log = Log::make();
    let ran = tidewal(&["inspect", log.path()]);
    let text = ran.assert_ok().text();
    for said in [
        "LSN 1 to 900",
        "closed",
        "3 segments",
        "seal 900",
        "open       no",
        &format!("tidewal verify {}", log.path()),
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    assert!(!text.contains('\u{1b}'), "there are colours in a pipe");
}

#[test]
fn as_json() {
    let log = Log::make();
    let json = tidewal(&["inspect", log.path(), "--json"]).json();
    assert_eq!(json["sound"], serde_json::Value::Null, "not all was read");
    assert_eq!(json["read"], "newest segment");
    assert_eq!((&json["oldest"], &json["end"]), (&json!(1), &json!(900)));
    assert_eq!(json["proven_durable"], 900);
    assert_eq!(json["ending"], json!({ "kind": "closed" }));
    assert_eq!(json["corruptions"], json!([]));
    let segments = json["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 3);
    assert_eq!(segments[0]["base"], 1);
    assert_eq!(segments[0]["header"]["is_head"], true);
    assert_eq!(segments[0]["len"], 16 * 1024);
    assert_eq!(segments[0]["statement"]["kind"], "link");
    assert_eq!(
        segments[2]["statement"],
        json!({ "kind": "seal", "lsn": 900 })
    );
    assert_eq!(segments[2]["last"], 900);
    let before = segments[1]["base"].as_u64().unwrap() - 1;
    assert_eq!(segments[0]["last"], before);
}

#[test]
fn verify_says_sound_and_changes_nothing() {
    let log = Log::make();
    let before: Vec<_> = log
        .segments()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let ran = tidewal(&["verify", log.path()]);
    let text = ran.assert_ok().text();
    assert!(
        text.starts_with("sound: 900 records in 3 segments"),
        "{text}"
    );
    assert_eq!(ran.stderr, "", "a progress bar in a pipe");
    let after: Vec<_> = log
        .segments()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert_eq!(before, after);
    let json = tidewal(&["verify", log.path(), "--json"]).json();
    let records = json["segments"].as_array().unwrap().iter();
    let records: u64 = records
        .map(|segment| segment["records"].as_u64().unwrap())
        .sum();
    assert_eq!((records, &json["sound"]), (900, &json!(true)));
}

#[test]
fn a_torn_tail_is_no_damage() {
    let log = Log::make();
    let newest = log.segments().pop().unwrap();
    // As after a crash: no seal, and an incomplete record.
    let mut bytes = fs::read(&newest).unwrap();
    bytes[1024..1044].fill(0);
    fs::write(&newest, &bytes).unwrap();
    let sound = tidewal(&["verify", log.path(), "--json"]).json();
    let end = sound["segments"][2]["end_offset"].as_u64().unwrap();
    bytes[usize::try_from(end).unwrap() - 1] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let ran = tidewal(&["verify", log.path()]);
    assert!(
        ran.assert_ok().text().contains("torn-record"),
        "{}",
        ran.text()
    );
    let json = tidewal(&["inspect", log.path(), "--json"]).json();
    assert_eq!(
        (&json["ending"]["kind"], &json["ending"]["lsn"]),
        (&json!("torn_tail"), &json!(900))
    );
}

#[test]
fn a_directory_without_a_log_is_an_error_and_is_left_as_it_is() {
    let log = Log::empty();
    let why = format!(
        "{} is not a log's directory: it has no LOCK and no segment",
        log.path()
    );
    // None of them is a segment.
    fs::write(log.dir.join("1.wal"), "").unwrap();
    fs::write(log.dir.join("+0000000000000000001.wal"), "").unwrap();
    fs::write(log.dir.join("00000000000000000007.spare"), "").unwrap();
    for arguments in [
        &["inspect"][..],
        &["inspect", "--json"],
        &["verify"],
        &["repair"],
        &["repair", "--yes"],
        &["dump"],
        &["dump", "--wait"],
        &["dump", "--salvage"],
    ] {
        let ran = tidewal(&[arguments, &[log.path()]].concat());
        ran.assert_failed(2, &why);
        assert_eq!(ran.text(), "", "{arguments:?}");
    }
    let names = fs::read_dir(&log.dir).unwrap();
    assert_eq!(names.count(), 3, "nothing was created");
}

#[test]
fn no_directory_and_a_file_are_errors_that_say_so() {
    let log = Log::make();
    let file = log.segments().remove(0);
    for command in ["inspect", "verify", "dump", "repair"] {
        tidewal(&[command, &missing(&log.dir)]).assert_failed(2, "No such file or directory");
        tidewal(&[command, file.to_str().unwrap()]).assert_failed(2, "Not a directory");
    }
    tidewal(&["append", file.to_str().unwrap()]).assert_failed(2, "ot a directory");
    assert_eq!(
        tidewal(&["inspect"]).code,
        2,
        "clap says which argument is missing"
    );
}

#[test]
fn an_empty_log_is_sound_and_named() {
    let log = Log::empty();
    fs::write(log.dir.join("LOCK"), "").unwrap();
    let json = tidewal(&["inspect", log.path(), "--json"]).json();
    assert_eq!(
        (&json["ending"]["kind"], &json["sound"]),
        (&json!("empty"), &json!(true))
    );
    assert_eq!(tidewal(&["dump", log.path()]).assert_ok().text(), "");
    for command in ["verify", "repair"] {
        let ran = tidewal(&[command, log.path()]);
        assert!(
            ran.assert_ok().text().contains(log.path()),
            "{}",
            ran.text()
        );
    }
}

#[test]
fn damage_that_is_seen_is_in_the_exit_status_and_in_the_json() {
    let log = Log::make();
    log.damage(2, 4096 + 23);
    let ran = tidewal(&["inspect", log.path(), "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.json()["sound"], false);
    assert_eq!(tidewal(&["inspect", log.path()]).code, 1);
}

/// The newest syncs are recorded only by later writes. A log after a kill must not look like one
/// that lost records.
#[test]
fn a_log_that_was_killed_does_not_read_like_loss() {
    let log = Log::empty();
    let mut child = start(&["append", log.path(), "--segment-size", "16KiB"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut lsns = BufReader::new(child.stdout.take().unwrap());
    for (records, said) in [
        (
            1,
            "no sync is recorded yet. Opening the log syncs all records",
        ),
        (5, "recorded up to LSN 4. Opening the log syncs LSN 5 to 5"),
    ] {
        while last_lsn(&log) < records {
            writeln!(stdin, "x").unwrap();
            lsns.read_line(&mut String::new()).unwrap();
        }
        let copy = log.copy();
        let text = tidewal(&["inspect", copy.path()]).assert_ok().text();
        assert!(text.contains(&format!("LSN 1 to {records}")), "{text}");
        assert!(
            text.contains("not closed, as after a crash (no damage)"),
            "{text}"
        );
        assert!(text.contains(said), "{said} is not in {text}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let text = tidewal(&["inspect", log.path()]).assert_ok().text();
    assert!(text.contains("durable    up to LSN 5, the end"), "{text}");
}

/// The last LSN in a copy of its files.
fn last_lsn(log: &Log) -> u64 {
    let copy = log.copy();
    if copy.segments().is_empty() {
        return 0;
    }
    let json = tidewal(&["inspect", copy.path(), "--json"]).json();
    json["end"].as_u64().unwrap()
}
