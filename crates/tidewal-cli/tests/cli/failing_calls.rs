//! Failing calls on a real disk: `strace` makes reads of one page of a segment fail, or writes for want of space.
//!
//! If `strace` is missing or not permitted, the tests are skipped and print why.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::helpers::{Log, Ran, command, tidewal};

/// The errors of a disk that cannot read a sector, and of a file system whose checksum of it does
/// not hold.
const ERRORS: [&str; 2] = ["EIO", "EUCLEAN"];

/// A log whose second segment has a bad page.
struct BadPage {
    log: Log,
    error: &'static str,
    /// Which reads of the segment fail.
    reads: &'static str,
}

impl BadPage {
    /// The first page with records. A reader reads the header block and then everything as a whole,
    /// which fails. Then it reads page by page, up to the bad page. A survey does the same once
    /// more, in search of records in that page, and continues after it.
    fn first(error: &'static str) -> Self {
        Self {
            log: Log::make(),
            error,
            reads: "2..5",
        }
    }

    /// Runs the command. `None` if that is not possible here.
    fn run(&self, arguments: &[&str]) -> Option<Ran> {
        let segment = self.log.segments()[1].display().to_string();
        let (error, reads) = (self.error, self.reads);
        let inject = format!("inject=pread64:error={error}:when={reads}");
        let failing = ["-e", "trace=pread64", "-P", &segment, "-e", &inject];
        run_with(&failing, arguments)
    }
}

/// Runs the command under `strace`. `None` if that is not possible here.
fn run_with(failing: &[&str], arguments: &[&str]) -> Option<Ran> {
    let probe = ["-qq", "-e", "trace=none", "true"];
    let works = Command::new("strace").args(probe).output();
    if !works.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no strace, or it may not trace");
        return None;
    }
    let program = command(&[]);
    let ran = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null"])
        .args(failing)
        .arg(program.get_program())
        .args(arguments)
        .output();
    Some(ran.unwrap().into())
}

/// The number in the name of a segment: its first LSN.
fn base(log: &Log, segment: usize) -> u64 {
    let path = log.segments()[segment].clone();
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn lsns(ran: &Ran) -> Vec<u64> {
    let lsn = |line: &String| line.split_once('\t').unwrap().0.parse().unwrap();
    ran.lines().iter().map(lsn).collect()
}

#[test]
fn everything_before_a_bad_page_is_delivered() {
    for error in ERRORS {
        for (reads, page) in [("2..3", 4096), ("2..4+2", 2 * 4096)] {
            let reads_fail = BadPage {
                reads,
                ..BadPage::first(error)
            };
            let Some(ran) = reads_fail.run(&["dump", reads_fail.log.path()]) else {
                return;
            };
            let log = &reads_fail.log;
            let delivered = lsns(&ran);
            let next = delivered.len() as u64 + 1;
            assert_eq!(delivered, (1..next).collect::<Vec<_>>());
            // A record takes 30 bytes. One that is in both pages is lost with the second.
            assert_eq!(next, base(log, 1) + (page - 4096) / 30, "{error}");
            let segment = log.segments()[1].display().to_string();
            let last = base(log, 2) - 1;
            ran.assert_failed(1, &format!("{segment} at byte {page}: "));
            ran.assert_failed(1, "(unreadable)");
            ran.assert_failed(1, &format!("Records {next} to {last}, which were durable"));
        }
    }
}

#[test]
fn a_survey_goes_past_a_bad_page() {
    for error in ERRORS {
        let bad = BadPage::first(error);
        let Some(ran) = bad.run(&["verify", bad.log.path(), "--json"]) else {
            return;
        };
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let found = ran.json()["corruptions"].clone();
        let corruption = &found[0];
        let first = base(&bad.log, 1);
        // Those in the page, and the one that ends after it.
        let last = first + 4096 / 30;
        let named = ["label", "offset", "first", "last"].map(|field| corruption[field].clone());
        let expected: [Value; 4] = [json!("unreadable"), json!(4096), json!(first), json!(last)];
        assert_eq!((named, found.as_array().unwrap().len()), (expected, 1));
        let salvaged = bad.run(&["dump", bad.log.path(), "--salvage"]).unwrap();
        let kept = (1..=900).filter(|lsn| !(first..=last).contains(lsn));
        assert_eq!(lsns(&salvaged), kept.collect::<Vec<_>>());
    }
}

/// No byte of the segment can be read, in any of the passes of a repair.
#[test]
fn a_repair_keeps_what_is_behind_a_bad_page() {
    for error in ERRORS {
        let bad = BadPage {
            reads: "1+",
            ..BadPage::first(error)
        };
        let log = &bad.log;
        let whole = log
            .segments()
            .into_iter()
            .map(|path| fs::read(path).unwrap());
        let whole: Vec<_> = whole.collect();
        let (names, first) = (log.segments(), base(log, 1));
        let Some(ran) = bad.run(&["repair", log.path(), "--yes"]) else {
            return;
        };
        assert!(
            ran.assert_ok().text().contains("(unreadable)"),
            "{}",
            ran.text()
        );
        for index in [1, 2] {
            let name = names[index].file_name().unwrap().to_str().unwrap();
            let kept = log.dir.join("repair-1").join(format!("{name}.kept"));
            assert_eq!(fs::read(kept).unwrap(), whole[index]);
        }
        tidewal(&["verify", log.path()]).assert_ok();
        let records = lsns(tidewal(&["dump", log.path()]).assert_ok());
        assert_eq!(records, (1..first).collect::<Vec<_>>());
    }
}

/// Whichever of its writes fails for want of space, the repair leaves the directory as it was.
#[test]
fn a_repair_without_space_says_so_and_leaves_nothing_behind() {
    for write in 1..=2 {
        let log = Log::make();
        log.damage(1, 4096 + 25);
        let contents = || {
            let mut files: Vec<_> = fs::read_dir(&log.dir)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            let bytes = |path: &std::path::PathBuf| fs::read(path).unwrap();
            let all = files.iter().map(bytes).collect::<Vec<_>>();
            (files, all)
        };
        let before = contents();
        let inject = format!("inject=pwritev:error=ENOSPC:when={write}");
        let failing = ["-e", "trace=pwritev", "-e", &inject];
        let Some(ran) = run_with(&failing, &["repair", log.path(), "--yes"]) else {
            return;
        };
        ran.assert_failed(2, "next: free space on the disk, and try again");
        assert_eq!(contents(), before, "write {write}");
        tidewal(&["repair", log.path(), "--yes"]).assert_ok();
    }
}
