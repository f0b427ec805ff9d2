//! Reads the output of `strace -f -y`, and looks for the sync that each acknowledgment needs.
//!
//! An append is covered if two things happened between the previous acknowledgment and its own: a write that
//! contains its number returned, and after that a sync of the same file began and returned success. A write to
//! a file opened with `O_DSYNC` counts as both. This detects a peer that syncs only sometimes, that
//! acknowledges while the sync still runs, or that syncs another file.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::measure::{MARK_ACKNOWLEDGED, MARK_BEGIN, tag};

/// What the trace must contain.
pub const CALLS: &str = "fsync,fdatasync,msync,sync_file_range,openat,write,pwrite64,writev,pwritev,pwritev2,io_uring_enter";

/// The end of a run of appends, as a trace shows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub appends: usize,
    pub covered: usize,
    /// Calls between the begin of the first append and the acknowledgment of the last one. Writes to files
    /// opened with `O_DSYNC` have their own name.
    pub calls: BTreeMap<String, usize>,
}

impl Verdict {
    pub fn syncs(&self) -> usize {
        let syncs = SYNCS.iter().chain([&DSYNC_WRITE]);
        syncs.filter_map(|name| self.calls.get(*name)).sum()
    }

    pub fn holds(&self, appends: usize) -> bool {
        self.appends == appends && self.covered == appends && self.syncs() >= appends
    }
}

pub fn judge(trace: &str) -> Verdict {
    let mut reader = Reader::default();
    trace.lines().for_each(|line| reader.line(line));
    reader.verdict
}

#[derive(Default)]
struct Reader<'a> {
    verdict: Verdict,
    /// Calls since the last mark. Those after the final mark belong to the end of the peer.
    calls: Vec<&'a str>,
    /// Calls that have begun and not returned, by thread.
    begun: HashMap<&'a str, Call<'a>>,
    /// Files that were opened with `O_DSYNC` or `O_SYNC`.
    dsync: HashSet<&'a str>,
    /// Files to which the present append's bytes were written.
    written: HashSet<&'a str>,
    covered: bool,
}

#[derive(Clone, Copy)]
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
    /// A sync that began after the write that it must cover had returned.
    covers: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) {
        let Some((thread, event)) = line.split_once(char::is_whitespace) else {
            return;
        };
        let event = event.trim_start();
        if let Some(rest) = event.strip_prefix("<... ") {
            let result = rest.rsplit_once(" = ").map_or("", |(_, result)| result);
            if let Some(call) = self.begun.remove(thread) {
                self.returned(call, result);
            }
        } else if let Some((name, rest)) = event.split_once('(') {
            if let Some(arguments) = rest.strip_suffix(" <unfinished ...>") {
                let call = self.begin(name, arguments);
                self.begun.insert(thread, call);
            } else if let Some((arguments, result)) = rest.rsplit_once(" = ") {
                let call = self.begin(name, arguments);
                self.returned(call, result);
            }
        }
    }

    fn begin(&mut self, name: &'a str, arguments: &'a str) -> Call<'a> {
        if name == "openat" {
            self.mark(arguments);
        }
        Call {
            name,
            arguments,
            covers: SYNCS.contains(&name) && self.written.contains(file(arguments)),
        }
    }

    fn mark(&mut self, arguments: &str) {
        if arguments.contains(MARK_BEGIN) {
            self.calls.clear();
        } else if arguments.contains(MARK_ACKNOWLEDGED) {
            self.verdict.appends += 1;
            self.verdict.covered += usize::from(self.covered);
            for name in self.calls.drain(..) {
                *self.verdict.calls.entry(name.to_owned()).or_default() += 1;
            }
            self.written.clear();
            self.covered = false;
        }
    }

    fn returned(&mut self, call: Call<'a>, result: &'a str) {
        if result.is_empty() || result.starts_with('-') || result.starts_with('?') {
            return;
        }
        match call.name {
            "openat" => self.opened(call.arguments, result),
            name if SYNCS.contains(&name) => self.covered |= call.covers,
            name if name.contains("write") => self.wrote(call),
            _ => {}
        }
        self.count(call);
    }

    /// Counts calls on files. (A write to a pipe or an `eventfd` only wakes a thread.)
    fn count(&mut self, call: Call<'a>) {
        let name = match call.name.contains("write") && self.is_dsync(call) {
            true => DSYNC_WRITE,
            false => call.name,
        };
        if name != "openat" && (file(call.arguments).starts_with('/') || name == "io_uring_enter") {
            self.calls.push(name);
        }
    }

    fn opened(&mut self, arguments: &str, result: &'a str) {
        if DSYNC_FLAGS.iter().any(|flag| arguments.contains(flag)) {
            self.dsync.insert(file(result));
        }
    }

    fn wrote(&mut self, call: Call<'a>) {
        if call.arguments.contains(&tag(self.verdict.appends)) {
            self.written.insert(file(call.arguments));
            self.covered |= self.is_dsync(call);
        }
    }

    fn is_dsync(&self, call: Call<'_>) -> bool {
        let flagged = call.name == "pwritev2"
            && (call.arguments.contains("RWF_DSYNC") || call.arguments.contains("RWF_SYNC"));
        flagged || self.dsync.contains(file(call.arguments))
    }
}

/// The path that `-y` prints behind the first descriptor.
fn file(arguments: &str) -> &str {
    let path = arguments.split_once('<').map_or("", |(_, path)| path);
    path.split_once('>').map_or("", |(path, _)| path)
}

/// `sync_file_range` is not one, because it does not flush the drive's cache. Neither is `msync`, because the
/// trace does not show its file. A peer that relies on it would have to be checked manually.
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];

const DSYNC_WRITE: &str = "O_DSYNC write";

const DSYNC_FLAGS: [&str; 2] = ["O_DSYNC", "O_SYNC"];

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str =
        r#"7 openat(AT_FDCWD</>, "/d/tidewal-mark-begin", O_RDONLY) = -1 ENOENT (No)"#;
    const WRITE: &str = r#"8 write(5</d/log>, "d\0\0\0tidewal-check-000000..", 104) = 104"#;
    const SYNC: &str = "8 fdatasync(5</d/log>) = 0";
    const ACK: &str = r#"7 openat(AT_FDCWD</>, "/d/tidewal-mark-acknowledged-000000", O_RDONLY) = -1 ENOENT (No)"#;

    fn covered(lines: &[&str]) -> bool {
        let verdict = judge(&lines.join("\n"));
        assert_eq!(verdict.appends, 1);
        verdict.covered == 1
    }

    #[test]
    fn a_write_its_sync_and_then_the_acknowledgement_are_what_is_asked_for() {
        let verdict = judge(&[BEGIN, WRITE, SYNC, ACK].join("\n"));
        assert_eq!(
            (verdict.appends, verdict.covered, verdict.syncs()),
            (1, 1, 1)
        );
        assert!(verdict.holds(1) && !verdict.holds(2));
    }

    #[test]
    fn no_sync_or_one_too_early_or_too_late_is_found_out() {
        assert!(!covered(&[BEGIN, WRITE, ACK]));
        assert!(!covered(&[BEGIN, SYNC, WRITE, ACK]));
        assert!(!covered(&[BEGIN, WRITE, ACK, SYNC]));
    }

    #[test]
    fn a_sync_of_another_file_or_one_that_fails_is_none() {
        assert!(!covered(&[
            BEGIN,
            WRITE,
            "8 fdatasync(6</d/other>) = 0",
            ACK
        ]));
        assert!(!covered(&[
            BEGIN,
            WRITE,
            "8 fsync(5</d/log>) = -1 EIO (Input/output error)",
            ACK
        ]));
    }

    #[test]
    fn a_sync_that_has_not_returned_or_began_before_the_write_had_is_none() {
        let (begins, returns) = (
            "8 fsync(5</d/log> <unfinished ...>",
            "8 <... fsync resumed>) = 0",
        );
        assert!(covered(&[BEGIN, WRITE, begins, returns, ACK]));
        assert!(!covered(&[BEGIN, WRITE, begins, ACK, returns]));
        let (writes, wrote) = (
            r#"9 write(5</d/log>, "tidewal-check-000000..", 100 <unfinished ...>"#,
            "9 <... write resumed>) = 100",
        );
        assert!(!covered(&[BEGIN, writes, begins, wrote, returns, ACK]));
    }

    #[test]
    fn a_write_of_another_append_does_not_count() {
        let other = r#"8 write(5</d/log>, "tidewal-check-000001..", 100) = 100"#;
        assert!(!covered(&[BEGIN, other, SYNC, ACK]));
    }

    #[test]
    fn a_write_to_a_file_opened_with_dsync_is_both_in_one() {
        let open = r#"8 openat(AT_FDCWD</>, "/d/log", O_WRONLY|O_DSYNC|O_CLOEXEC) = 5</d/log>"#;
        assert!(covered(&[open, BEGIN, WRITE, ACK]));
        let verdict = judge(&[open, BEGIN, WRITE, ACK].join("\n"));
        assert_eq!(verdict.calls, BTreeMap::from([(DSYNC_WRITE.to_owned(), 1)]));
    }
}
