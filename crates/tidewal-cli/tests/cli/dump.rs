//! `tidewal dump`

use std::io::Read;

use serde_json::{Value, json};

use crate::helpers::{Log, command, tidewal, tidewal_with_input, wait_for};

#[test]
fn records_are_shown_in_each_format() {
    let log = Log::empty();
    let wal = log.open();
    let payloads: [&[u8]; 3] = [b"plain", b"a\tb\n\\", b"\xff\x00"];
    for payload in payloads {
        wait_for(wal.append(payload)).unwrap();
    }
    wait_for(wal.close()).unwrap();
    assert_eq!(
        tidewal(&["dump", log.path()]).lines(),
        [
            "1\tplain",
            "2\ta\\tb\\n\\\\",
            "3\\xff\\u{0}".replace("3\\", "3\t\\").as_str()
        ]
    );
    let hex = tidewal(&["dump", log.path(), "--format", "hex", "--from", "3"]);
    assert_eq!(hex.lines(), ["3\tff00"]);
    let ran = tidewal(&["dump", log.path(), "--format", "json"]);
    let lines: Vec<Value> = ran
        .lines()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[1], json!({ "lsn": 2, "len": 5, "text": "a\tb\n\\" }));
    assert_eq!(lines[2], json!({ "lsn": 3, "len": 2, "hex": "ff00" }));
    let raw = tidewal(&["dump", log.path(), "--raw", "--from", "2", "--to", "3"]);
    assert_eq!(raw.stdout, b"a\tb\n\\\n\xff\x00\n");
}

#[test]
fn what_is_dumped_with_lengths_can_be_appended() {
    let log = Log::make();
    let wal = log.open();
    wait_for(wal.append("with\nnewlines\n")).unwrap();
    wait_for(wal.close()).unwrap();
    let dumped = tidewal(&["dump", log.path(), "--raw", "--prefixed"]);
    let other = Log::empty();
    let ran = tidewal_with_input(
        &["append", other.path(), "--prefixed", "-q"],
        &dumped.stdout,
    );
    assert_eq!(ran.assert_ok().lines(), ["901"]);
    let again = tidewal(&["dump", other.path(), "--raw", "--prefixed"]);
    assert!(again.stdout == dumped.stdout);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let log = Log::empty();
    log.fill(1, 20_000);
    let mut child = command(&["dump", log.path()]).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1\trecord 1");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{:?}",
        String::from_utf8(output.stderr)
    );
}

#[test]
fn a_range_that_ends_before_it_begins_is_an_error() {
    let log = Log::make();
    for more in [&[][..], &["--salvage"]] {
        let arguments = [&["dump", log.path(), "--from", "10", "--to", "5"], more].concat();
        let ran = tidewal(&arguments);
        ran.assert_failed(2, "--from 10 is after --to 5");
        assert_eq!(ran.text(), "");
    }
    let ran = tidewal(&["dump", log.path(), "--from", "5", "--to", "5", "--raw"]);
    assert_eq!(ran.assert_ok().text(), "record 5\n");
}

#[test]
fn records_that_are_not_there_are_errors() {
    let log = Log::make();
    tidewal(&["dump", log.path(), "--from", "902"]).assert_failed(2, "beyond the end of the log");
    let ran = tidewal(&["dump", log.path(), "--from", "901"]);
    assert_eq!(ran.assert_ok().text(), "");
}
