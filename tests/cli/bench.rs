//! `tidewal bench`: that it runs. Its figures in a test mean nothing.

use crate::helpers::{Log, missing, tidewal};

#[test]
fn it_measures_draws_and_answers() {
    let log = Log::empty();
    let plot = log.dir.join("out.svg");
    let ran = tidewal(&[
        "bench",
        "--rehearse",
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
    let json = tidewal(&["bench", "--rehearse", "--json", "--dir", log.path()]).json();
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
