//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::values;

/// Looks into a tidewal log, mends it, and uses it from a shell
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
    /// Print a completion script for a shell
    ///
    /// For bash: tidewal completions bash > ~/.local/share/bash-completion/completions/tidewal
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a directory
    Man {
        /// Write tidewal.1, tidewal-inspect.1 and so on to this directory
        #[arg(long, value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

impl Task {
    /// The directory of the log that it is about.
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
            Self::Bench(_) | Self::Completions { .. } | Self::Man { .. } => None,
        }
    }
}

/// Show what a log's directory holds
///
/// Reads the headers of all segments and the records of the newest one, and changes nothing: segments
/// with their LSNs and sizes, what is proven to be on disk, where the log ends and why, files in
/// reserve, and who has the log open. While a service appends to it, only headers are read.
///
/// To read every record, use verify.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if there is no damage in what was read, 1 if there is, 2 if something \
    could not be read."
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
/// Streams them from the oldest to the newest, and changes nothing. At damage it stops with an error and
/// exit status 1; with --salvage it goes on behind it.
///
/// A log cannot be followed while a service appends to it: a log is open for appending, or for reading,
/// never both. With --wait the command waits until the service closes the log; then --from goes on from
/// the last record seen.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are flags of a command line"
)]
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tidewal dump data/wal --from 1000 --to 1010 --format hex\n  \
    tidewal dump data/wal --raw | tidewal append other/wal"
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

    /// The payloads alone, byte for byte, each with a newline behind it
    #[arg(long, conflicts_with = "format")]
    pub raw: bool,

    /// With --raw: each payload behind its length (4 bytes, little endian), and no newline
    #[arg(long, requires = "raw")]
    pub prefixed: bool,

    /// Print every record that can be read, also behind damage
    #[arg(long, conflicts_with_all = ["wait"])]
    pub salvage: bool,

    /// If a service has the log open, wait until it is closed
    #[arg(long)]
    pub wait: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    /// LSN, tab, payload, with everything escaped that is not text
    Text,
    /// LSN, tab, payload in hexadecimal digits
    Hex,
    /// An object a line: lsn, len, and text, or hex where the payload is not text
    Json,
}

/// Read every record and say whether the log is sound
///
/// Changes nothing. Names every damaged range of records, not only the first, with file, offset and the
/// label of docs/durability.md. What a crash has left half written at the end is no damage.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if the log is sound, 1 if it is damaged, 2 if it could not be read."
)]
pub struct Verify {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Make a damaged log one that opens
///
/// Shows what it would do, and does it only with --yes. The log keeps the first stretch of records that
/// can be read without a gap: everything before the first damage; or, where nothing can be read before it,
/// what stands behind it. Every file that is cut or changed is kept as it was in a folder of the
/// log's directory (repair-1, ...), with a note of what was done, and of how to look at these files.
///
/// If there are files of two logs in the directory it does nothing, and names the files of each: move
/// those of the other log away.
///
/// It refuses while a service has the log open. Restoring a backup or a replica is better, if there is
/// one: records that are cut are gone for the service.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if the log is sound now, 1 if it is damaged and --yes was not given, \
    2 if it could not be repaired."
)]
pub struct Repair {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Do it
    #[arg(long)]
    pub yes: bool,

    /// It looks like the log of a raft node, and is none: that is never repaired otherwise
    #[arg(long)]
    pub not_raft: bool,
}

/// Append lines, or records with their lengths, from standard input
///
/// Prints the LSN of each record, a line each, once it is on disk, in order. Many records are in flight at
/// once; if the disk is slow, reading stops in the meantime. The log is created if necessary.
///
/// append checks how the log ends, not every record: damage in an older segment stays unnoticed. Run
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

    /// Each record stands behind its length (4 bytes, little endian)
    #[arg(long)]
    pub prefixed: bool,

    /// Sync at most so long after a batch's first record, such as 500us, 5ms or 1s [default: as soon as
    /// the disk is free]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub interval: Option<Duration>,

    /// The size of new segments, such as 16MiB: from 16KiB up to 4GiB less one byte
    #[arg(long, value_name = "SIZE", value_parser = values::segment_size, default_value = "64MiB")]
    pub segment_size: u64,

    /// Print the last LSN only, at the end
    #[arg(long, short)]
    pub quiet: bool,
}

const EXIT_CODES: &str = "\
Exit status: 0 if all is well, 1 if the log is damaged, 2 if something could not be done.

Colours are for terminals only, and NO_COLOR is honoured.";
