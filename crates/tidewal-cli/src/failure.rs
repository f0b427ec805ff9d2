//! Errors, and what to do next.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use tidewal::{Error, IoFailure, UnsupportedReason};

use crate::display::{Paint, quoted};

/// Why a command failed.
pub enum Failure {
    /// Standard output cannot be written.
    Output(io::Error),
    /// Standard input cannot be read.
    Input(io::Error),
    Log(Error),
    /// Stored data is damaged, and what to do about it.
    Damaged(String, String),
    /// Anything else, and what to do about it.
    Other(String, String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

impl Failure {
    /// Writes the error to standard error, with what to do next for the log's directory. A closed
    /// pipe is not an error.
    pub fn report(self, dir: Option<&Path>) -> ExitCode {
        let (what, hint) = match &self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Output(error) => (
                format!("cannot write to standard output: {error}"),
                "free space where the output goes, or write to another file".into(),
            ),
            Self::Input(error) => (
                format!("cannot read standard input: {error}"),
                format!(
                    "check the input. Records before the error are appended: see the last one with `tidewal inspect {}`",
                    named(dir)
                ),
            ),
            Self::Log(error) => (with_sources(error), hint(error, dir)),
            Self::Damaged(what, hint) | Self::Other(what, hint) => (what.clone(), hint.clone()),
        };
        say(&what, &hint);
        match self {
            Self::Log(Error::Corrupt(_)) | Self::Damaged(..) => ExitCode::from(DAMAGED),
            _ => ExitCode::from(FAILED),
        }
    }
}

/// Writes an error and what to do about it to standard error, if that can be written.
fn say(what: &str, hint: &str) {
    let paint = Paint::of(&io::stderr());
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{} {what}", paint.bad("tidewal:"));
    if !hint.is_empty() {
        let _ = writeln!(stderr, "{} {hint}", paint.strong("next:"));
    }
}

/// Writes a message to standard error.
#[cfg(feature = "archive")]
pub fn note(what: &str) {
    say(what, "");
}

/// An error and its sources, without repetitions.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !all.contains(&text) {
            all = format!("{all}: {text}");
        }
        source = cause.source();
    }
    all
}

/// The log's directory in a hint.
fn named(dir: Option<&Path>) -> String {
    dir.map_or("DIR".into(), quoted)
}

fn hint(error: &Error, dir: Option<&Path>) -> String {
    let dir = named(dir);
    let text = match error {
        Error::Corrupt(_) => {
            return format!(
                "restore a backup or a replica. `tidewal verify {dir}` says exactly which records cannot be read, and \
                 what can be done without a backup. `tidewal dump {dir} --salvage` prints the others"
            );
        }
        Error::OutcomeUnknown(_) | Error::Interrupted | Error::Poisoned(_) => {
            return format!(
                "check with `tidewal dump {dir}` which records are in the log, and append the others again"
            );
        }
        Error::Locked { .. } => {
            "stop the service that has the log open, or read a snapshot of the file system"
        }
        Error::UnfinishedRestore { .. } => {
            return format!(
                "run `tidewal restore STORE {dir}` again, or remove the directory and make the backup again"
            );
        }
        Error::Unsupported { reason, .. } => return newer_version(*reason),
        Error::LsnsExhausted { .. } => {
            "read the log with `tidewal dump`. No record can be appended"
        }
        Error::Truncated { .. } => "leave out --from, or name a later record",
        Error::BeyondEnd { .. } => "leave out --from, or name an earlier record",
        Error::InvalidOptions { .. } => "run the command with --help",
        Error::StorageFull(_) => "free space on the disk, and append the rest again",
        Error::SegmentUnavailable(_) => "remove the cause, and append the rest again",
        Error::TooLarge { .. } => "a record must fit into a segment: see --segment-size",
        Error::Io(failure) if is_in_the_place_of_a_segment(failure) => {
            return format!(
                "move it away, bring the segment back from a backup or a replica, and run `tidewal verify {dir}`"
            );
        }
        Error::Io(failure) => next_after(failure.io_error().kind()),
        _ => "",
    };
    text.into()
}

/// What to do about something that only a later version of the format has.
pub fn newer_version(reason: UnsupportedReason) -> String {
    let cure = match reason {
        UnsupportedReason::ReservedByte { offset } => format!(
            "byte {offset} of the file is damaged: restore a backup, or set that byte to 0 in a copy of the \
             directory and verify the copy"
        ),
        _ => "the file is damaged: restore a backup".into(),
    };
    format!(
        "use a newer version of tidewal: this one can neither read nor repair what a later one has \
         written. If none has ever written to this log, {cure}"
    )
}

/// Whether a FIFO or another file that is not a regular one has the name of a segment.
fn is_in_the_place_of_a_segment(failure: &IoFailure) -> bool {
    let is_segment = failure.path().extension().is_some_and(|end| end == "wal");
    let kind = failure.io_error().kind();
    is_segment && matches!(kind, io::ErrorKind::Other | io::ErrorKind::IsADirectory)
}

/// What to do about a failed system call.
fn next_after(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "check the path: it must be the directory of a log",
        io::ErrorKind::IsADirectory => {
            "move everything that is not a regular file out of the log's directory"
        }
        io::ErrorKind::NotADirectory => "name the directory that holds the log's files",
        io::ErrorKind::PermissionDenied => "run the command as the user of the service",
        io::ErrorKind::Other => "do what the error says, and try again",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on the disk, and try again"
        }
        _ => "see what the system logged about the disk, for example with `dmesg`",
    }
}

/// Exit status of a damaged log.
pub const DAMAGED: u8 = 1;

/// Exit status of a command that failed.
pub const FAILED: u8 = 2;
