//! `tidewal append`

use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use crate::helpers::{Log, start, tidewal, tidewal_with_input};

#[test]
fn each_line_is_a_record_and_gets_its_lsn() {
    let log = Log::empty();
    let ran = tidewal_with_input(&["append", log.path()], b"one\n\ntwo\nthree");
    assert_eq!(ran.assert_ok().lines(), ["1", "2", "3", "4"]);
    let dumped = tidewal(&["dump", log.path(), "--raw"]);
    assert_eq!(dumped.text(), "one\n\ntwo\nthree\n");
}

#[test]
fn an_lsn_is_printed_while_the_input_goes_on() {
    let log = Log::empty();
    let mut child = start(&["append", log.path()]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for number in 1..=3 {
        writeln!(stdin, "line {number}").unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        assert_eq!(answer, format!("{number}\n"));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn many_lines_come_in_order_through_small_segments() {
    let log = Log::empty();
    let lines: Vec<_> = (1..=50_000)
        .map(|number| format!("line {number}"))
        .collect();
    let lines = lines.join("\n") + "\n";
    let arguments = [
        "append",
        log.path(),
        "--segment-size",
        "1MiB",
        "--interval",
        "2ms",
    ];
    let ran = tidewal_with_input(&arguments, lines.as_bytes());
    let lsns: Vec<u64> = ran
        .assert_ok()
        .lines()
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    assert!(lsns.into_iter().eq(1..=50_000));
    assert!(tidewal(&["dump", log.path(), "--raw"]).text() == lines);
}

#[test]
fn input_that_is_no_record_ends_with_an_error_and_keeps_what_came_before() {
    let log = Log::empty();
    let arguments = ["append", log.path(), "--segment-size", "16KiB", "--quiet"];
    let input = [b"short\n".as_slice(), &vec![b'x'; 20_000]].concat();
    let ran = tidewal_with_input(&arguments, &input);
    ran.assert_failed(
        2,
        "record 2 has more than 12268 bytes and does not fit into a segment",
    );
    assert_eq!(ran.lines(), ["1"]);
    let ran = tidewal_with_input(
        &["append", log.path(), "--prefixed"],
        b"\x02\0\0\0ab\x09\0\0\0c",
    );
    assert_eq!((ran.code, ran.lines()), (2, vec!["2".to_owned()]));
    ran.assert_failed(2, "the input ends inside record 2: 1 of 9 bytes");
    assert_eq!(
        tidewal(&["dump", log.path(), "--raw"]).text(),
        "short\nab\n"
    );
    let ran = tidewal_with_input(&["append", log.path(), "--segment-size", "1KiB"], b"x\n");
    assert_eq!(ran.code, 2);
    for said in ["--segment-size", "16KiB", "4294967295"] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
}

/// The rest of the input is not appended, which must not look like success.
#[test]
fn a_reader_of_lsns_that_leaves_early_is_an_error_and_the_log_is_closed() {
    let log = Log::empty();
    let mut child = start(&["append", log.path()]);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "one").unwrap();
    // The command ends although its input does not.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("standard output")
    );
    drop(stdin);
    let json = tidewal(&["inspect", log.path(), "--json"]).json();
    assert_eq!(json["ending"]["kind"], "closed");
    assert_eq!(json["end"], 1);
}

/// Uses a small file system that fills up quickly, if the system allows mounting one.
#[test]
fn on_a_full_disk_quiet_says_how_far_it_got() {
    let log = Log::empty();
    let mount = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", log.path()];
    let mounted = Command::new("mount").args(mount).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: a file system cannot be mounted here");
        return;
    }
    let input = format!("{}\n", "x".repeat(999)).repeat(5000);
    let arguments = ["append", log.path(), "--segment-size", "1MiB", "--quiet"];
    let ran = tidewal_with_input(&arguments, input.as_bytes());
    let dumped = tidewal(&["dump", log.path(), "--format", "hex"]);
    let unmounted = Command::new("umount").arg(log.path()).status().unwrap();
    assert!(unmounted.success());
    ran.assert_failed(2, "the disk is full");
    let lines = ran.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let last: u64 = lines[0].parse().unwrap();
    assert!((1000..5000).contains(&last), "{last}");
    assert!(dumped.assert_ok().lines().len() as u64 >= last);
}
