//! The command lines of `tidewal archive` and `tidewal restore`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{ArgGroup, Args, Subcommand, ValueHint};

use crate::archive::store::Address;
use crate::values;

/// Ship a log's segments to an object store, and inspect the archive
///
/// STORE is a directory, or the URL of a bucket and a prefix in it, at S3, Google Cloud Storage or Azure
/// (see the examples). Each path or URL holds one log. Credentials, region and endpoint come from the environment
/// (AWS_..., GOOGLE_..., AZURE_...).
///
/// docs/archive.md describes the objects in the store, and what holds after a failure.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tidewal archive ship data/wal s3://backup/orders\n  \
    tidewal archive show gs://backup/orders\n  \
    tidewal archive verify az://container/orders\n  \
    tidewal archive prune az://container/orders --before-lsn 100000")]
pub struct Archive {
    #[command(subcommand)]
    pub task: Task,
}

#[derive(Subcommand)]
pub enum Task {
    Ship(Ship),
    /// Show what an archive holds, from its manifest
    #[command(
        after_help = "Examples:\n  tidewal archive show s3://backup/orders\n  \
        tidewal archive show /mnt/backup/orders --json | jq .gaps"
    )]
    Show(Look),
    /// Read all of an archive and say whether it is sound
    ///
    /// Checks every object, every record and every link between segments, as a restore would. A gap is shown,
    /// and is no damage.
    #[command(
        after_help = "Exit status: 0 if the archive is sound, 1 if it is damaged, 2 if it could not be \
        read.\n\nExamples:\n  tidewal archive verify s3://backup/orders"
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

/// Ship the records of a log that are not in the store yet
///
/// For a log that no service has open. A service ships its own log with the archiver of the library. If the
/// log was not closed, it is recovered and closed first. While the store is down, the command retries and
/// says so. What the store forbids is retried for a few seconds only.
///
/// If the command is stopped, run it again: it continues where it was. For segments that an earlier run
/// shipped, it trusts the manifest. Run `archive verify` before you remove the log.
///
/// All records that one run ships have the time of that run, for a restore to a point in time.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if everything is in the store, 1 if the log or the manifest is damaged, 2 if \
    it could not be shipped.\n\n\
    Examples:\n  tidewal archive ship data/wal s3://backup/orders\n  \
    tidewal archive ship data/wal /mnt/backup/orders --give-up-after 90s"
)]
pub struct Ship {
    /// The log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// The store: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// Stop after this time, such as 90s, if not everything is in the store [default: keep trying]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub give_up_after: Option<Duration>,
}

/// Remove old segments from an archive
///
/// Removes the segments before the one that holds a record, or the state at a time, and their entries in
/// the manifest. It first enters a checkpoint, which says where readers begin, so it can be stopped at any
/// moment and run again. Archivers can keep working in the meantime.
///
/// A service that is restored from the rest needs a snapshot of everything before it.
#[derive(Args)]
#[command(
    group = ArgGroup::new("bound").required(true).args(["before_lsn", "before_time"]),
    after_help = "Exit status: 0 if nothing before it is left, 1 if the manifest is damaged (then nothing was \
    removed), 2 if it could not be pruned.\n\n\
    Examples:\n  tidewal archive prune s3://backup/orders --before-lsn 100000\n  \
    tidewal archive prune s3://backup/orders --before-time 2026-11-01T00:00:00Z"
)]
pub struct Prune {
    /// The archive: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// Keep this record and those after it
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    pub before_lsn: Option<u64>,

    /// Keep the state at this time and after it, such as 2026-11-26T12:00:00Z (UTC)
    #[arg(long, value_name = "TIME", value_parser = values::point_in_time)]
    pub before_time: Option<SystemTime>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The archive to inspect.
#[derive(Args)]
pub struct Look {
    /// The archive: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Restore a log from an archive
///
/// Restores up to the end, a record or a point in time. Every object and every record is checked. The
/// directory must be missing or empty, or one in which a restore was interrupted. Until the restore is
/// complete, no log can be opened in it.
///
/// A restored log that is appended to differs from the archive from there on: ship it to another
/// STORE.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if the log is there, 1 if the archive is damaged or lacks records, 2 if it \
    could not be restored.\n\n\
    Examples:\n  tidewal restore s3://backup/orders data/wal\n  \
    tidewal restore s3://backup/orders data/wal --until-time 2026-11-26T12:00:00Z"
)]
pub struct Restore {
    /// The archive: a directory or a URL
    #[arg(value_parser = Address::parse)]
    pub store: Address,

    /// The log's new directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,

    /// The last record [default: the newest]. An atomic batch that does not end by then is left out
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    pub until_lsn: Option<u64>,

    /// Only what was durable at this time, such as 2026-11-26T12:00:00Z (UTC)
    #[arg(long, value_name = "TIME", value_parser = values::point_in_time, conflicts_with = "until_lsn")]
    pub until_time: Option<SystemTime>,

    /// Leave out the segments that end before this record, for a service that has a snapshot
    #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
