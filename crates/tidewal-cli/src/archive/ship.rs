//! `tidewal archive ship`

use std::future;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use tidewal::tools::{Depth, LogDir};
use tidewal::{Lsn, Wal};
use tidewal_archive::{Archive, ArchiveOptions, Archiver, Status};
use tokio::time::{self, Instant};

use crate::archive::args::Ship;
use crate::archive::failure;
use crate::display::{count, size};
use crate::failure::{Failure, note, with_sources};
use crate::findings::check_is_log;
use crate::output::{Bar, Out};
use crate::wait::wait_for_network;

pub fn run(args: &Ship) -> Result<ExitCode, Failure> {
    check_is_log(&args.dir)?;
    LogDir::new(&args.dir).survey_with(Depth::Headers, &mut Bar::new("reading"))?;
    args.store.check_apart_from(&args.dir)?;
    let status = wait_for_network(ship(args))?;
    show(&status, args)?;
    Ok(ExitCode::SUCCESS)
}

/// Closes the log, also after an error.
async fn ship(args: &Ship) -> Result<Status, Failure> {
    let archive = args.store.make()?;
    let wal = Wal::options().spare_segments(0).open(&args.dir).await?;
    // Opening the log has finished all its segments, and nothing is appended to the open one.
    let options = ArchiveOptions::new().lazy_claim(true).max_lag(None);
    let started = Archiver::start(&wal, &archive, options);
    let shipped = match started {
        Ok(archiver) => ship_all(&archiver, args).await,
        Err(error) => Err(failure::of_shipping(error, args)),
    };
    let closed = wal.close().await.map_err(Failure::Log);
    let status = shipped?;
    closed?;
    check_whole(&archive, args).await?;
    Ok(status)
}

/// Checks that the manifest is complete. An archiver continues from the newest entry and does not read earlier ones.
async fn check_whole(archive: &Archive, args: &Ship) -> Result<(), Failure> {
    let checked = tokio::select! {
        checked = archive.check_manifest() => checked,
        () = patience(args.give_up_after) => return Err(Failure::Other(
            format!("everything was shipped, but the manifest in {} could not be checked in time", args.store),
            format!("check the archive with `tidewal archive verify {}`", args.store),
        )),
    };
    checked.map_err(|error| failure::of_shipping(error, args))
}

/// Waits until everything is shipped, and reports errors in the meantime.
async fn ship_all(archiver: &Archiver, args: &Ship) -> Result<Status, Failure> {
    let mut caught_up = pin!(archiver.wait_caught_up());
    let mut patience = pin!(patience(args.give_up_after));
    let mut silence = pin!(time::sleep(SILENCE));
    let (mut failures, mut refused) = (0, None);
    loop {
        tokio::select! {
            biased;
            outcome = &mut caught_up => {
                outcome.map_err(|error| failure::of_shipping(error, args))?;
                return Ok(archiver.status());
            }
            () = &mut patience => return Err(too_late(&archiver.status())),
            () = &mut silence, if !silence.is_elapsed() => tell_silence(&archiver.status(), args),
            () = time::sleep(LOOK_EVERY) => {
                let status = archiver.status();
                failures = tell_failures(&status, failures);
                refused = refused_since(&status, refused);
                give_up_if_refused(&status, refused, args)?;
            }
        }
    }
}

/// Since when the store has only refused calls.
fn refused_since(status: &Status, since: Option<Instant>) -> Option<Instant> {
    let is_refused = status
        .last_error
        .as_ref()
        .is_some_and(|error| !error.is_transient());
    is_refused.then(|| since.unwrap_or_else(Instant::now))
}

/// Gives up if the store has refused all calls for a while: a retry alone cannot help.
fn give_up_if_refused(status: &Status, since: Option<Instant>, args: &Ship) -> Result<(), Failure> {
    match (since, &status.last_error) {
        (Some(since), Some(error)) if since.elapsed() >= REFUSED_FOR => {
            Err(failure::of_shipping(error.clone(), args))
        }
        _ => Ok(()),
    }
}

async fn patience(time: Option<Duration>) {
    match time {
        Some(time) => time::sleep(time).await,
        None => future::pending().await,
    }
}

/// Reports the last failure if there are more than `known`. Returns the number of failures.
fn tell_failures(status: &Status, known: u64) -> u64 {
    if let (true, Some(error)) = (status.failures > known, &status.last_error) {
        note(&format!("{} (retrying)", with_sources(error)));
    }
    status.failures
}

/// Reports a store that has neither answered nor failed so far.
fn tell_silence(status: &Status, args: &Ship) {
    if (status.failures, status.segments) == (0, 0) {
        note(&format!("the store has not answered yet: {}", args.store));
    }
}

fn too_late(status: &Status) -> Failure {
    let why = status.last_error.as_ref().map(|error| with_sources(error));
    Failure::Other(
        match why {
            Some(why) => format!("not everything is in the archive: {why}"),
            None => "not everything is in the archive yet, and nothing has failed so far".into(),
        },
        "run the command again: it continues where it stopped".into(),
    )
}

fn show(status: &Status, args: &Ship) -> Result<(), Failure> {
    let mut out = Out::new();
    let good = out.paint.good("archived:");
    let store = &args.store;
    out.line(&match (status.archived, status.segments) {
        (Lsn::ZERO, _) => format!("{good} the log holds nothing to ship"),
        (last, 0) => {
            format!("{good} everything up to LSN {last} was in {store} already, by its manifest")
        }
        (last, segments) => format!(
            "{good} everything up to LSN {last} is in {store}. Shipped {}, {}",
            count(segments, "segment"),
            size(status.bytes)
        ),
    })?;
    out.flush()
}

/// After this time, a store that has not answered is reported.
const SILENCE: Duration = Duration::from_secs(10);

/// How long calls that the store refuses are retried. Some stores take a moment until a new permission is valid.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// How often the status of the archiver is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
