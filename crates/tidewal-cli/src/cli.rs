//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::values;

/// Inspect, verify, repair and use a tidewal log, and measure a disk
#[derive(Parser)]
#[command(
    name = "tidewal",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

#[derive(Subcommand)]
pub enum Task {
    Inspect(Inspect),
    Dump(Dump),
    Verify(Verify),
    Repair(Repair),
    Append(Append),
    #[cfg(feature = "archive")]
    Archive(crate::archive::args::Archive),
    #[cfg(feature = "archive")]
    Restore(crate::archive::args::Restore),
    Bench(crate::args::Args),
    Completions(Completions),
    Man(Man),
}

impl Task {
    /// The log's directory that the command works on.
    pub fn log_dir(&self) -> Option<&Path> {
        match self {
            Self::Inspect(args) => Some(&args.dir),
            Self::Dump(args) => Some(&args.dir),
            Self::Verify(args) => Some(&args.dir),
            Self::Repair(args) => Some(&args.dir),
            Self::Append(args) => Some(&args.dir),
            #[cfg(feature = "archive")]
            Self::Archive(args) => args.log_dir(),
            #[cfg(feature = "archive")]
            Self::Restore(args) => Some(&args.dir),
            Self::Bench(_) | Self::Completions(_) | Self::Man(_) => None,
        }
    }
}

/// Show the contents of a log's directory
///
/// Reads the headers of all segments and the records of the newest one, and changes nothing. Shows the
/// segments with their LSNs and sizes, what is known to be durable, where the log ends and why, spare
/// files, and which process has the log open. While a service has the log open for appending, only headers
/// are read.
///
/// To read every record, use verify.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if there is no damage in what was read, 1 if there is, 2 if something \
    could not be read, also if there is damage besides.\n\n\
    Examples:\n  tidewal inspect data/wal\n  tidewal inspect data/wal --json | jq .ending"
)]
pub struct Inspect {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Print the records of a log
///
/// Streams the records from the oldest to the newest, and changes nothing. Takes as much memory as the
/// largest record. Stops at damage with an error and exit status 1. With --salvage it continues after the
/// damage.
///
/// A log cannot be followed from another process while a service appends to it, because it is open either for appending or for
/// reading. With --wait the command waits until the service closes the log. Then --from continues after the
/// last record seen.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are flags of a command line"
)]
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tidewal dump data/wal --from 1000 --to 1010 --format hex\n  \
    tidewal dump data/wal --format json | jq -r .text\n  \
    tidewal dump data/wal --raw --prefixed | tidewal append other/wal --prefixed"
)]
pub struct Dump {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// The first record [default: the oldest]
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,

    /// The last record [default: the newest]
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    pub to: Option<u64>,

    /// How a record is shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Only the payloads, byte for byte, each followed by a newline
    #[arg(long, conflicts_with = "format")]
    pub raw: bool,

    /// With --raw: each payload after its length (4 bytes, little endian), without a newline
    #[arg(long, requires = "raw")]
    pub prefixed: bool,

    /// Print every record that can be read, including those after damage
    #[arg(long, conflicts_with_all = ["wait"])]
    pub salvage: bool,

    /// If the log is open for appending, wait until it is closed
    #[arg(long)]
    pub wait: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    /// LSN, tab, payload. Bytes that are not text are escaped
    Text,
    /// LSN, tab, payload in hexadecimal digits
    Hex,
    /// One object per line: lsn, len, and text, or hex if the payload is not text
    Json,
}

/// Read every record and say whether the log is sound
///
/// Changes nothing. Lists every damaged range of records with file, offset and label
/// (docs/durability.md explains the labels). A torn tail, as a crash leaves it, is not damage.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if the log is sound, 1 if it is damaged, 2 if something could not be read, also if \
    there is damage besides.\n\n\
    Examples:\n  tidewal verify data/wal\n  tidewal verify backup/wal --json > report.json"
)]
pub struct Verify {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Repair a damaged log so that it opens again
///
/// Shows what it would do, and does it only with --yes. The log keeps the first range of records
/// without a gap that can be read: everything before the first damage, or, if nothing before it can
/// be read, the records after it. A copy of every file that is cut or changed is kept in a subdirectory
/// of the log's directory (repair-1, ...), with a note of what was done and how to read these
/// files.
///
/// If the directory holds files of two logs, nothing is changed, and the files of each log are
/// listed. Move the files of the other log away.
///
/// The log must not be open. If there is a backup or a replica, restore that instead: a repair
/// loses the records that are cut.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if the log is sound now, 1 if it is damaged and --yes was not given, \
    2 if it could not be repaired.\n\n\
    Examples:\n  tidewal repair data/wal\n  \
    tidewal dump data/wal --salvage > records.txt && tidewal repair data/wal --yes"
)]
pub struct Repair {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Repair the log instead of only showing how
    #[arg(long)]
    pub yes: bool,

    /// Repair the log even though its records look like those of a raft node, which must not be
    /// repaired, or no record tells
    #[arg(long)]
    pub not_raft: bool,
}

/// Append lines, or records with a length prefix, from standard input
///
/// Prints the LSN of each record, one per line and in order, once the record is durable. Many records are
/// in flight at once. If the disk is slow, the input is read more slowly. The log is created if it does not
/// exist.
///
/// Do not append to the log of a service that has its own encoding, such as one built on tidewal-state or
/// openraft: it refuses to start when it finds a record that it cannot decode.
///
/// append checks only how the log ends, so it does not notice damage in an older segment. Run
/// verify first if the log may be damaged.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  printf 'one\\ntwo\\n' | tidewal append data/wal\n  \
    tail -F app.log | tidewal append data/wal --interval 5ms --quiet"
)]
pub struct Append {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Each record follows its length (4 bytes, little endian)
    #[arg(long)]
    pub prefixed: bool,

    /// Sync at most this long after a batch's first record, such as 500us, 5ms or 1s [default: as soon as
    /// the previous sync completes]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub interval: Option<Duration>,

    /// The size of new segments, such as 16MiB. At least 16KiB, and less than 4GiB
    #[arg(long, value_name = "SIZE", value_parser = values::segment_size, default_value = "64MiB")]
    pub segment_size: u64,

    /// Print only the last LSN, at the end
    #[arg(long, short)]
    pub quiet: bool,
}

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tidewal completions bash > ~/.local/share/bash-completion/completions/tidewal\n  \
    tidewal completions zsh > ~/.zfunc/_tidewal")]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Show the manual page of a command
///
/// On a terminal it shows the text. To a pipe or a file it writes the page for `man` (roff).
#[derive(Args)]
#[command(after_help = "Examples:\n  tidewal man\n  tidewal man dump\n  \
    tidewal man repair | man -l -\n  tidewal man --dir ~/.local/share/man/man1")]
pub struct Man {
    /// The command, such as dump [default: tidewal itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub command: Vec<String>,

    /// Write the pages of all commands to this directory: tidewal.1, tidewal-inspect.1, ...
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

const EXIT_CODES: &str = "\
Exit status: 0 if all is well, 1 if the log is damaged, 2 if the command failed.

Colors appear on terminals only, and NO_COLOR is respected.

Examples:
  tidewal inspect data/wal
  tidewal verify data/wal
  tidewal dump data/wal --from 1000
  tidewal help repair";
