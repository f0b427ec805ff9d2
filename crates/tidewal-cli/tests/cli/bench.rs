//! `tidewal bench`: that it runs. Its figures in a test mean nothing.

use std::process::Command;

use crate::helpers::{Log, Ran, command, missing, tidewal};

/// Only checks that it runs.
fn rehearse(arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    let output = command.env("TIDEWAL_BENCH_REHEARSE", "1").output();
    output.unwrap().into()
}

#[test]
fn it_measures_draws_and_answers() {
    let log = Log::empty();
    let plot = log.dir.join("out.svg");
    let ran = rehearse(&[
        "bench",
        "--dir",
        log.path(),
        "--plot",
        plot.to_str().unwrap(),
    ]);
    let last = ran.assert_ok().lines().pop().unwrap();
    assert!(last.starts_with("Use "), "{last}");
    assert!(
        ran.text().contains("One bare write + fdatasync"),
        "{}",
        ran.text()
    );
    assert!(std::fs::read_to_string(&plot).unwrap().starts_with("<svg"));
    let names: Vec<_> = std::fs::read_dir(&log.dir).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing but the picture is left behind");
}

#[test]
fn as_json() {
    let log = Log::empty();
    let json = rehearse(&["bench", "--json", "--dir", log.path()]).json();
    assert!(json["answer"].as_str().unwrap().starts_with("Use "));
    let tables = json["scenarios"][0]["tables"].as_array().unwrap();
    assert_eq!(tables[0]["rows"][0]["name"], "Always");
}

#[test]
fn what_cannot_be_written_is_known_before_anything_is_measured() {
    let log = Log::empty();
    tidewal(&["bench", "--dir", &missing(&log.dir)]).assert_failed(2, "cannot write in");
    let plot = log.dir.join("missing/out.svg");
    let plot = plot.to_str().unwrap();
    tidewal(&["bench", "--dir", log.path(), "--plot", plot]).assert_failed(2, "cannot write");
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let log = Log::empty();
    let mut child = command(&["bench", "--dir", log.path()]).spawn().unwrap();
    let is_empty = || std::fs::read_dir(&log.dir).unwrap().next().is_none();
    while is_empty() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it has ended by itself"
        );
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(is_empty(), "its directory is left behind");
}
