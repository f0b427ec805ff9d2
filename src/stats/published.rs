//! The same figures for the `metrics` facade (`docs/observability.md` has the table).
//!
//! The handles are asked for when the log is opened, so that the recorder has to be installed before.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::lsn::Lsn;
use crate::stats::FlushCause;
use crate::stats::counters::BatchFacts;

pub(super) struct Published {
    appends: Counter,
    records: Counter,
    payload_bytes: Counter,
    written_bytes: Counter,
    storage_full: Counter,
    segment_unavailable: Counter,
    /// One for each cause.
    batches: [Counter; FlushCause::ALL.len()],
    syncs: Counter,
    segments: Counter,
    segments_freed: Counter,
    truncations: Counter,
    segments_kept: Gauge,
    durable: Gauge,
    poisoned: Gauge,
    queued_bytes: Gauge,
    queued_records: Gauge,
    sync_running: Gauge,
    sync_time: Histogram,
    append_time: Histogram,
    batch_records: Histogram,
    batch_bytes: Histogram,
}

impl Published {
    pub(super) fn new(label: &str) -> Self {
        describe();
        let counter = |name| counter!(name, "log" => label.to_owned());
        let gauge = |name| gauge!(name, "log" => label.to_owned());
        let histogram = |name| histogram!(name, "log" => label.to_owned());
        let of_cause = |cause: FlushCause| counter!("tidewal_batches_total", "log" => label.to_owned(), "cause" => cause.label());
        Self {
            appends: counter("tidewal_appends_total"),
            records: counter("tidewal_records_total"),
            payload_bytes: counter("tidewal_payload_bytes_total"),
            written_bytes: counter("tidewal_written_bytes_total"),
            storage_full: counter("tidewal_storage_full_total"),
            segment_unavailable: counter("tidewal_segment_unavailable_total"),
            batches: std::array::from_fn(|index| of_cause(FlushCause::ALL[index])),
            syncs: counter("tidewal_syncs_total"),
            segments: counter("tidewal_segments_total"),
            segments_freed: counter("tidewal_segments_freed_total"),
            truncations: counter("tidewal_truncations_total"),
            segments_kept: gauge("tidewal_segments"),
            durable: gauge("tidewal_durable_lsn"),
            poisoned: gauge("tidewal_poisoned"),
            queued_bytes: gauge("tidewal_queue_bytes"),
            queued_records: gauge("tidewal_queue_records"),
            sync_running: gauge("tidewal_sync_running_seconds"),
            sync_time: histogram("tidewal_sync_seconds"),
            append_time: histogram("tidewal_append_seconds"),
            batch_records: histogram("tidewal_batch_records"),
            batch_bytes: histogram("tidewal_batch_bytes"),
        }
    }

    pub(super) fn opened(&self, durable: Lsn, segments: u64) {
        self.durable.set(float(durable.get()));
        self.segments_kept.set(float(segments));
        self.poisoned.set(0);
        self.state(Duration::ZERO, 0, 0);
    }

    pub(super) fn batch(&self, batch: &BatchFacts) {
        self.batches[batch.cause as usize].increment(1);
        self.appends.increment(batch.appends);
        self.records.increment(batch.records);
        self.payload_bytes.increment(batch.payload_bytes);
        self.written_bytes.increment(batch.bytes);
        self.batch_records.record(float(batch.records));
        self.batch_bytes.record(float(batch.bytes));
    }

    pub(super) fn sync(&self, took: Duration, durable: Lsn) {
        self.syncs.increment(1);
        self.durable.set(float(durable.get()));
        self.sync_time.record(took);
    }

    /// Once, and not as often as it stands for: a recorder takes its values one by one.
    pub(super) fn append(&self, nanos: u64) {
        self.append_time.record(Duration::from_nanos(nanos));
    }

    pub(super) fn storage_full(&self, appends: u64) {
        self.storage_full.increment(appends);
    }

    pub(super) fn segment_unavailable(&self, appends: u64) {
        self.segment_unavailable.increment(appends);
    }

    pub(super) fn segment_opened(&self, kept: u64) {
        self.segments.increment(1);
        self.segments_kept.set(float(kept));
    }

    pub(super) fn truncation(&self, freed: u64, kept: u64) {
        self.truncations.increment(1);
        self.segments_freed.increment(freed);
        self.segments_kept.set(float(kept));
    }

    pub(super) fn poisoned(&self) {
        self.poisoned.set(1);
    }

    /// What changes without the writer's doing.
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

fn describe() {
    describe_counters();
    describe_gauges();
    describe_histograms();
}

fn describe_counters() {
    let describe = |name: &'static str, unit, text: &'static str| {
        describe_counter!(name, unit, text);
    };
    describe("tidewal_appends_total", Unit::Count, "Appends written");
    describe("tidewal_records_total", Unit::Count, "Records written");
    describe(
        "tidewal_payload_bytes_total",
        Unit::Bytes,
        "Payload written",
    );
    describe(
        "tidewal_written_bytes_total",
        Unit::Bytes,
        "Records written, headers included",
    );
    describe(
        "tidewal_storage_full_total",
        Unit::Count,
        "Appends refused for want of room",
    );
    describe(
        "tidewal_segment_unavailable_total",
        Unit::Count,
        "Appends refused because no segment could be opened, for another reason than a full disk",
    );
    describe(
        "tidewal_batches_total",
        Unit::Count,
        "Writes that carried records, by cause",
    );
    describe("tidewal_syncs_total", Unit::Count, "Syncs of records");
    describe("tidewal_segments_total", Unit::Count, "Segments opened");
    describe(
        "tidewal_segments_freed_total",
        Unit::Count,
        "Segments freed by truncation",
    );
    describe(
        "tidewal_truncations_total",
        Unit::Count,
        "Truncations carried out",
    );
}

fn describe_gauges() {
    let describe = |name: &'static str, unit, text: &'static str| {
        describe_gauge!(name, unit, text);
    };
    describe("tidewal_segments", Unit::Count, "Segments of the log");
    describe("tidewal_durable_lsn", Unit::Count, "The last durable LSN");
    describe("tidewal_poisoned", Unit::Count, "1 if the log has failed");
    describe(
        "tidewal_queue_bytes",
        Unit::Bytes,
        "Bytes that wait to be written",
    );
    describe(
        "tidewal_queue_records",
        Unit::Count,
        "Records that wait to be written",
    );
    describe(
        "tidewal_sync_running_seconds",
        Unit::Seconds,
        "For how long the writer has been waiting for the disk",
    );
}

fn describe_histograms() {
    let describe = |name: &'static str, unit, text: &'static str| {
        describe_histogram!(name, unit, text);
    };
    describe(
        "tidewal_sync_seconds",
        Unit::Seconds,
        "Time of each sync of records",
    );
    describe(
        "tidewal_append_seconds",
        Unit::Seconds,
        "Time from an append to its answer",
    );
    describe(
        "tidewal_batch_records",
        Unit::Count,
        "Records in each batch",
    );
    describe(
        "tidewal_batch_bytes",
        Unit::Bytes,
        "Bytes in each batch, headers included",
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the facade has no other numbers"
)]
fn float(value: u64) -> f64 {
    value as f64
}
