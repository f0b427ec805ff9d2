//! The same figures for the `metrics` facade (`docs/observability.md` has the table).
//!
//! The handles are requested when the log is opened, so the recorder must be installed before.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::stats::figures::{Count, Level, Spread};
use crate::stats::flushes::FlushCause;

pub(super) struct Published {
    counts: [Counter; Count::ALL.len()],
    levels: [Gauge; Level::ALL.len()],
    spreads: [Histogram; Spread::ALL.len()],
    /// One counter for each cause.
    batches: [Counter; FlushCause::ALL.len()],
    queued_bytes: Gauge,
    queued_records: Gauge,
    sync_running: Gauge,
}

/// Name, unit and meaning.
type Description = (&'static str, Unit, &'static str);

impl Published {
    pub(super) fn new(label: &str) -> Self {
        describe();
        let gauge = |(name, ..): Description| gauge!(name, "log" => label.to_owned());
        let of_cause = |cause: FlushCause| counter!(BATCHES.0, "log" => label.to_owned(), "cause" => cause.label());
        Self {
            counts: Count::ALL.map(|it| counter!(count(it).0, "log" => label.to_owned())),
            levels: Level::ALL.map(|it| gauge(level(it))),
            spreads: Spread::ALL.map(|it| histogram!(spread(it).0, "log" => label.to_owned())),
            batches: std::array::from_fn(|index| of_cause(FlushCause::ALL[index])),
            queued_bytes: gauge(QUEUE_BYTES),
            queued_records: gauge(QUEUE_RECORDS),
            sync_running: gauge(SYNC_RUNNING),
        }
    }

    pub(super) fn add(&self, what: Count, amount: u64) {
        self.counts[what as usize].increment(amount);
    }

    pub(super) fn set(&self, what: Level, value: u64) {
        self.levels[what as usize].set(float(value));
    }

    pub(super) fn record(&self, what: Spread, value: u64) {
        let histogram = &self.spreads[what as usize];
        match what {
            Spread::SyncTime | Spread::AppendTime => {
                histogram.record(Duration::from_nanos(value));
            }
            Spread::BatchRecords | Spread::BatchBytes => histogram.record(float(value)),
        }
    }

    pub(super) fn flush(&self, cause: FlushCause) {
        self.batches[cause as usize].increment(1);
    }

    /// The figures that change without the writer.
    pub(super) fn state(&self, sync_running: Duration, queued_bytes: u64, queued_records: u64) {
        self.sync_running.set(sync_running);
        self.queued_bytes.set(float(queued_bytes));
        self.queued_records.set(float(queued_records));
    }
}

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").finish_non_exhaustive()
    }
}

#[rustfmt::skip]
fn count(what: Count) -> Description {
    match what {
        Count::Appends => ("tidewal_appends_total", Unit::Count, "Appends written"),
        Count::Records => ("tidewal_records_total", Unit::Count, "Records written"),
        Count::PayloadBytes => ("tidewal_payload_bytes_total", Unit::Bytes, "Payload written"),
        Count::WrittenBytes => ("tidewal_written_bytes_total", Unit::Bytes, "Records written, headers included"),
        Count::StorageFull => ("tidewal_storage_full_total", Unit::Count, "Appends refused because the disk was full"),
        Count::SegmentUnavailable => ("tidewal_segment_unavailable_total", Unit::Count, "Appends refused because no segment could be opened, for another reason than a full disk"),
        Count::Syncs => ("tidewal_syncs_total", Unit::Count, "Syncs of records"),
        Count::SegmentsOpened => ("tidewal_segments_opened_total", Unit::Count, "Segments opened"),
        Count::SegmentsTruncated => ("tidewal_segments_truncated_total", Unit::Count, "Segments truncated"),
        Count::Truncations => ("tidewal_truncations_total", Unit::Count, "Truncations carried out"),
    }
}

fn level(what: Level) -> Description {
    match what {
        Level::Segments => ("tidewal_segments", Unit::Count, "Segments of the log"),
        Level::DurableLsn => ("tidewal_durable_lsn", Unit::Count, "The last durable LSN"),
        Level::Poisoned => ("tidewal_poisoned", Unit::Count, "1 if the log is poisoned"),
        Level::HeldSegments => (
            "tidewal_held_segments",
            Unit::Count,
            "Truncated segments that holds keep",
        ),
        Level::HeldBytes => (
            "tidewal_held_bytes",
            Unit::Bytes,
            "Bytes of truncated segments that holds keep",
        ),
    }
}

#[rustfmt::skip]
fn spread(what: Spread) -> Description {
    match what {
        Spread::SyncTime => ("tidewal_sync_seconds", Unit::Seconds, "Time of each sync of records"),
        Spread::AppendTime => ("tidewal_append_seconds", Unit::Seconds, "Time from an append to its answer"),
        Spread::BatchRecords => ("tidewal_batch_records", Unit::Count, "Records in each batch"),
        Spread::BatchBytes => ("tidewal_batch_bytes", Unit::Bytes, "Bytes in each batch, headers included"),
    }
}

const BATCHES: Description = (
    "tidewal_batches_total",
    Unit::Count,
    "Writes that carried records, by cause",
);
const QUEUE_BYTES: Description = (
    "tidewal_queue_bytes",
    Unit::Bytes,
    "Bytes that wait to be written",
);
const QUEUE_RECORDS: Description = (
    "tidewal_queue_records",
    Unit::Count,
    "Records that wait to be written",
);
const SYNC_RUNNING: Description = (
    "tidewal_sync_running_seconds",
    Unit::Seconds,
    "For how long the writer has been waiting for the disk",
);

fn describe() {
    for (name, unit, text) in Count::ALL.into_iter().map(count).chain([BATCHES]) {
        describe_counter!(name, unit, text);
    }
    let states = [QUEUE_BYTES, QUEUE_RECORDS, SYNC_RUNNING];
    for (name, unit, text) in Level::ALL.into_iter().map(level).chain(states) {
        describe_gauge!(name, unit, text);
    }
    for (name, unit, text) in Spread::ALL.map(spread) {
        describe_histogram!(name, unit, text);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the facade has no other numbers"
)]
fn float(value: u64) -> f64 {
    value as f64
}
