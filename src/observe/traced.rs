//! Spans and events (`docs/observability.md` has the table).
//!
//! All of them have the target `tidewal`, so a filter needs one name only. The writer emits its
//! events on its own thread, so a subscriber must be installed for the whole process.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use tracing::{Instrument, error, info, info_span, warn};

use crate::error::{Error, IoFailure};
use crate::lsn::Lsn;

pub(crate) fn opening<F: Future>(
    dir: &Path,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!(target: TARGET, "open", dir = %dir.display());
    future.instrument(span)
}

/// The span of reading the log, on any thread.
pub(crate) fn recovering<F: Future>(
    dir: &Path,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!(target: TARGET, "recovery", dir = %dir.display());
    future.instrument(span)
}

pub(crate) fn rotating<F: Future>(
    dir: &Path,
    base: Lsn,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!(target: TARGET, "rotation", dir = %dir.display(), %base);
    future.instrument(span)
}

pub(crate) fn truncating<F: Future>(
    dir: &Path,
    before: Lsn,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!(target: TARGET, "truncation", dir = %dir.display(), %before);
    future.instrument(span)
}

pub(crate) fn closing<F: Future>(
    dir: &Path,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let span = info_span!(target: TARGET, "close", dir = %dir.display());
    future.instrument(span)
}

/// Emitted within the span of [`opening`], which names the directory.
pub(crate) fn opened(end: Lsn) {
    info!(target: TARGET, %end, "the log is open");
}

pub(crate) fn recovered(end: Lsn, segments: u64, records: u64) {
    info!(target: TARGET, %end, segments, records, "read the log to its end");
}

pub(crate) fn torn(segment: &Path, offset: u64, lsn: Lsn, reason: &dyn Display) {
    info!(
        target: TARGET,
        segment = %segment.display(), offset, %lsn, %reason,
        "the log was not closed and ends before this record",
    );
}

/// An operator must look at damage. The caller handles every other error.
pub(crate) fn recovery_failed(failure: &Error) {
    match failure {
        Error::Corrupt(corruption) => error!(
            target: TARGET,
            segment = %corruption.segment.display(),
            offset = corruption.offset,
            first = %corruption.first,
            last = %corruption.last,
            kind = corruption.kind.label(),
            "the log is damaged",
        ),
        // A caller that dropped the recovery needs no event.
        Error::Interrupted => {}
        other => {
            warn!(target: TARGET, error = other as &dyn std::error::Error, "the log was not read");
        }
    }
}

pub(crate) fn refused(dir: &Path, error: &Error) {
    match error {
        Error::StorageFull(fault) => warn!(
            target: TARGET,
            dir = %dir.display(), error = fault as &dyn std::error::Error,
            "there is no room for another segment: appends fail until there is",
        ),
        other => warn!(
            target: TARGET,
            dir = %dir.display(), error = other as &dyn std::error::Error,
            "another segment cannot be opened: appends fail until one can be",
        ),
    }
}

pub(crate) fn poisoned(dir: &Path, fault: &IoFailure) {
    error!(
        target: TARGET,
        dir = %dir.display(), error = fault as &dyn std::error::Error,
        "an operation failed: the log takes no more records until it is opened again",
    );
}

pub(crate) fn closed(dir: &Path, durable: Lsn) {
    info!(target: TARGET, dir = %dir.display(), %durable, "the log is closed");
}

pub(crate) fn sync_is_slow(dir: &Path, running: Duration) {
    warn!(
        target: TARGET,
        dir = %dir.display(), running_ms = millis(running),
        "the disk is slow: a sync is still running",
    );
}

pub(crate) fn sync_was_slow(dir: &Path, took: Duration) {
    warn!(
        target: TARGET,
        dir = %dir.display(), took_ms = millis(took),
        "the slow sync has ended",
    );
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const TARGET: &str = "tidewal";
