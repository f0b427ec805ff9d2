//! The command lines of `tidewal archive` and `tidewal restore`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueHint};

use crate::archive::store::Address;
use crate::values;

/// Ship a log's segments to an object store, and look at what is there
///
/// STORE is a directory, or the URL of a bucket and a prefix in it, at S3, Google Cloud Storage or Azure
/// (see the examples). One log to a place. Credentials, region and endpoint come from the environment
/// (AWS_..., GOOGLE_..., AZURE_...).
///
/// docs/archive.md says what lies there, and what holds when something fails in between.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tidewal archive ship data/wal s3://backup/orders\n  \
    tidewal archive show gs://backup/orders\n  \
    tidewal archive verify az://container/orders\n  \
    tidewal restore s3://backup/orders data/wal --until-time 2026-11-26T12:00:00Z")]
pub struct Archive {
    #[command(subcommand)]
    pub task: Task,
}

#[derive(Subcommand)]
pub enum Task {
    Ship(Ship),
    /// Show what an archive holds, by its manifest
    Show(Look),
    /// Read all of an archive and say whether it is sound
    ///
    /// Checks every object, every record and every joint, as a restore would. A gap is no damage: it is
    /// shown.
    #[command(
        after_help = "Exit status: 0 if the archive is sound, 1 if it is damaged, 2 if it could not be \
        read."
    )]
    Verify(Look),
    Prune(Prune),
}

impl Archive {
    /// The directory of the log that it is about.
    pub fn log_dir(&self) -> Option<&Path> {
        match &self.task {
            Task::Ship(args) => Some(&args.dir),
            Task::Show(_) | Task::Verify(_) | Task::Prune(_) => None,
        }
    }
}

/// Ship what a log holds and the store does not
///
/// For a log that no service has open: a service ships its own, with the archiver of the library. The
/// log is closed properly if it was not. While the store is down it goes on trying, and says so. What the
/// store forbids is tried for a few seconds only.
///
/// If it is stopped, run it again: it goes on where it was. What an earlier run shipped is believed from
/// the manifest: before the log is removed, run `archive verify`.
///
/// All records that one run ships have the time of that run, for restoring to a point in time.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if everything is in the store, 1 if what was to be shipped or the manifest \
    is damaged, 2 if it could not be shipped."
)]
pub struct Ship {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// Where to: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// Stop after such a time, such as 90s, if not everything is there [default: go on trying]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub give_up_after: Option<Duration>,
}

/// Remove what is not needed any more
///
/// Removes the segments before the one that holds a record, or the state of a time, and their entries in the
/// manifest. First it enters a checkpoint, which says where readers begin, so that it can be stopped at any
/// moment and run again. Archivers may be at work in the meantime.
///
/// A service that is restored from what is left needs a snapshot of everything before it.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if nothing before it is left, 1 if the manifest is damaged (then nothing was \
    removed), 2 if it could not be pruned."
)]
pub struct Prune {
    /// Where the archive is: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// Keep this record and those after it
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..),
        required_unless_present = "before_time")]
    pub before_lsn: Option<u64>,

    /// Keep the state of that time and those after it, such as 2026-11-26T12:00:00Z; UTC
    #[arg(long, value_name = "TIME", value_parser = values::point_in_time, conflicts_with = "before_lsn")]
    pub before_time: Option<SystemTime>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An archive that is to be looked at.
#[derive(Args)]
pub struct Look {
    /// Where it is: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Make a log's directory of what an archive holds
///
/// Up to the end, to a record or to a point in time. Every object and every record is checked. The directory
/// must be missing or empty, or one in which a restore was interrupted; until all of it is there, no log can
/// be opened in it.
///
/// A restored log that is appended to is another log from there on: ship it to another place.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if the log is there, 1 if the archive is damaged or lacks records, 2 if it \
    could not be restored."
)]
pub struct Restore {
    /// Where the archive is: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// The directory to be made
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// The last record [default: the newest]; an atomic batch that does not end by then is left out
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    pub until_lsn: Option<u64>,

    /// Only what was durable at that time, such as 2026-11-26T12:00:00Z; UTC
    #[arg(long, value_name = "TIME", value_parser = values::point_in_time, conflicts_with = "until_lsn")]
    pub until_time: Option<SystemTime>,

    /// Leave out the segments that end before this record: for services that have a snapshot
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
