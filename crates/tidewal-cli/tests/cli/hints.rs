//! What the command says about a failure and about the next step.

use std::fs::{self, File};
use std::process::Stdio;

use crate::helpers::{Log, Ran, command, tidewal, wait_for};

/// The payload of the first record in a segment.
const PAYLOAD: u64 = 4096 + 20;

fn assert_says(ran: &Ran, said: &str) {
    let text = format!("{}{}", ran.text(), ran.stderr);
    assert!(text.contains(said), "{said} is not in {text}");
}

/// Damages the header of the newest segment.
fn without_end() -> Log {
    let log = Log::make();
    log.damage(2, 20);
    log
}

#[test]
fn inspect_says_whether_the_newest_segment_was_read() {
    let log = Log::make();
    let ran = tidewal(&["inspect", log.path()]);
    assert_says(
        &ran,
        "The records of the newest segment were read. To read all",
    );
    let log = without_end();
    let said = format!(
        "The records of the newest segment could not be read. To read everything else: tidewal verify {}",
        log.path()
    );
    assert_says(&tidewal(&["inspect", log.path()]), &said);
}

/// The link in the segment before says where the missing one begins.
#[test]
fn inspect_names_only_the_records_of_the_missing_segment() {
    let log = Log::make();
    let segments = log.segments();
    let base = |at: usize| -> u64 {
        segments[at]
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let (first, last) = (base(1), base(2) - 1);
    fs::remove_file(&segments[1]).unwrap();
    for command in ["inspect", "verify"] {
        let ran = tidewal(&[command, log.path()]);
        assert_says(&ran, "chain-broken");
        assert_says(
            &ran,
            &format!("Records {first} to {last}, which were durable, cannot be read"),
        );
    }
}

#[test]
fn inspect_does_not_guess_about_a_log_that_is_open() {
    let log = Log::empty();
    let wal = log.open();
    let ran = tidewal(&["inspect", log.path()]);
    assert_says(&ran, "records    not known while the log is open\n");
    wait_for(wal.close()).unwrap();
    let ran = tidewal(&["inspect", log.path()]);
    assert_says(&ran, "records    none. The next one gets LSN 1\n");
}

#[test]
fn a_repair_is_not_the_first_advice() {
    let log = Log::make();
    log.damage(0, PAYLOAD);
    let next = format!(
        "next: restore a backup or a replica. If there is none: tidewal repair {}\n",
        log.path()
    );
    assert_says(&tidewal(&["verify", log.path()]), &next);
}

#[test]
fn dump_says_which_command_names_the_damaged_records() {
    let log = Log::make();
    log.damage(0, PAYLOAD);
    let said = format!("`tidewal verify {}` says exactly which", log.path());
    assert_says(&tidewal(&["dump", log.path()]), &said);
}

#[test]
fn output_and_input_that_fail_have_a_next_step() {
    let log = Log::make();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ran = Ran::from(
        command(&["dump", log.path()])
            .stdout(full)
            .output()
            .unwrap(),
    );
    ran.assert_failed(
        2,
        "next: free space where the output goes, or write to another file",
    );
    let dir = Stdio::from(File::open(&log.dir).unwrap());
    let ran = Ran::from(
        command(&["append", log.path()])
            .stdin(dir)
            .output()
            .unwrap(),
    );
    let next = format!(
        "next: check the input. Records before the error are appended: see the last one with `tidewal inspect {}`",
        log.path()
    );
    ran.assert_failed(2, &next);
}

#[test]
fn what_is_in_the_place_of_a_segment_is_to_be_moved_away() {
    let log = Log::make();
    let segment = log.segments().remove(1);
    fs::remove_file(&segment).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&segment).unwrap();
    let next = format!(
        "next: move it away, bring the segment back from a backup or a replica, and run `tidewal verify {}`",
        log.path()
    );
    for arguments in [&["dump"][..], &["repair"]] {
        tidewal(&[arguments, &[log.path()]].concat()).assert_failed(2, &next);
    }
}

#[test]
fn a_repair_of_a_log_whose_end_is_unknown_says_what_to_roll_back() {
    let log = without_end();
    let ran = tidewal(&["repair", log.path()]);
    let text = ran.text();
    let next = text.split("The next append gets LSN ").nth(1).unwrap();
    let next = next.split('.').next().unwrap();
    let said = format!(
        "The end of the log is unknown. LSNs from {next} on may be given out again. Roll back every snapshot or \
         replica that refers to them.\n"
    );
    assert_says(&ran, &said);
}
