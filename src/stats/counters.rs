//! The counters behind [`Stats`].

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::lsn::Lsn;
use crate::stats::histogram::Tally;
use crate::stats::latency::{self, Latencies};
use crate::stats::published::Published;
use crate::stats::{FlushCause, Flushes, Stats};

/// Everything that is counted. Only the writer changes it.
#[derive(Debug)]
pub(crate) struct Counters {
    appends: Counter,
    records: Counter,
    payload_bytes: Counter,
    written_bytes: Counter,
    storage_full: Counter,
    segment_unavailable: Counter,
    flushes: [Counter; FlushCause::ALL.len()],
    syncs: Counter,
    segments: Counter,
    segments_freed: Counter,
    truncations: Counter,
    segments_kept: Counter,
    durable: Counter,
    poisoned: AtomicBool,
    sync_nanos: Tally,
    append_nanos: Tally,
    batch_records: Tally,
    batch_bytes: Tally,
    /// When the log was opened.
    epoch: Instant,
    /// One more than the nanoseconds from then to the start of the work at the disk that is under way;
    /// 0 if there is none.
    disk_work: Counter,
    /// How many such works have begun.
    disk_works: Counter,
    /// Of how many appends one is timed, as the power of two.
    period: AtomicU32,
    published: Published,
}

/// A write that carried records.
pub(crate) struct BatchFacts {
    pub(crate) cause: FlushCause,
    pub(crate) appends: u64,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) bytes: u64,
}

impl Counters {
    /// Of a log that was opened at `epoch`. `label` tells it from others where it is published.
    pub(crate) fn new(epoch: Instant, label: &str) -> Self {
        Self {
            appends: Counter::default(),
            records: Counter::default(),
            payload_bytes: Counter::default(),
            written_bytes: Counter::default(),
            storage_full: Counter::default(),
            segment_unavailable: Counter::default(),
            flushes: std::array::from_fn(|_| Counter::default()),
            syncs: Counter::default(),
            segments: Counter::default(),
            segments_freed: Counter::default(),
            truncations: Counter::default(),
            segments_kept: Counter::default(),
            durable: Counter::default(),
            poisoned: AtomicBool::new(false),
            sync_nanos: Tally::of_times(),
            append_nanos: Tally::of_times(),
            batch_records: Tally::of_sizes(),
            batch_bytes: Tally::of_sizes(),
            epoch,
            disk_work: Counter::default(),
            disk_works: Counter::default(),
            period: AtomicU32::new(0),
            published: Published::new(label),
        }
    }

    pub(crate) fn note_opened(&self, durable: Lsn, segments: usize) {
        self.durable.set(durable.get());
        self.segments_kept.set(segments as u64);
        self.published.opened(durable, segments as u64);
    }

    pub(crate) fn note_batch(&self, batch: &BatchFacts) {
        self.flushes[batch.cause as usize].add(1);
        self.appends.add(batch.appends);
        self.records.add(batch.records);
        self.payload_bytes.add(batch.payload_bytes);
        self.written_bytes.add(batch.bytes);
        self.batch_records.add(batch.records, 1);
        self.batch_bytes.add(batch.bytes, 1);
        let period = self.period.load(Ordering::Relaxed);
        let next = latency::period_after(period, batch.appends);
        if next != period {
            self.period.store(next, Ordering::Relaxed);
        }
        self.published.batch(batch);
    }

    pub(crate) fn note_sync(&self, took: Duration, durable: Lsn) {
        self.syncs.add(1);
        self.durable.set(durable.get());
        self.sync_nanos.add(nanos(took), 1);
        self.published.sync(took, durable);
    }

    /// Notes that the appends in this list are answered now.
    pub(crate) fn note_latencies(&self, latencies: &Latencies, now: Instant) {
        for (taken, weight) in latencies.until(now) {
            self.append_nanos.add(taken, weight);
            self.published.append(taken);
        }
    }

    pub(crate) fn note_storage_full(&self, appends: usize) {
        self.storage_full.add(appends as u64);
        self.published.storage_full(appends as u64);
    }

    pub(crate) fn note_segment_unavailable(&self, appends: usize) {
        self.segment_unavailable.add(appends as u64);
        self.published.segment_unavailable(appends as u64);
    }

    pub(crate) fn note_segment_opened(&self, kept: usize) {
        self.segments.add(1);
        self.segments_kept.set(kept as u64);
        self.published.segment_opened(kept as u64);
    }

    pub(crate) fn note_truncation(&self, freed: usize, kept: usize) {
        self.truncations.add(1);
        self.segments_freed.add(freed as u64);
        self.segments_kept.set(kept as u64);
        self.published.truncation(freed as u64, kept as u64);
    }

    pub(crate) fn note_poisoned(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
        self.published.poisoned();
    }

    /// Notes that the writer waits for the disk from now on.
    pub(crate) fn begin_disk_work(&self, now: Instant) {
        self.disk_works.add(1);
        self.disk_work
            .set(nanos(now.saturating_duration_since(self.epoch)).saturating_add(1));
    }

    pub(crate) fn end_disk_work(&self) {
        self.disk_work.set(0);
    }

    /// Since when the writer has been waiting for the disk, if it is.
    pub(crate) fn disk_work_since(&self) -> Option<Instant> {
        let since = self.disk_work.get().checked_sub(1)?;
        Some(self.epoch + Duration::from_nanos(since))
    }

    /// How often the writer has begun to wait for the disk.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn disk_works(&self) -> u64 {
        self.disk_works.get()
    }

    /// Publishes what changes without the writer's doing.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn publish_state(&self, now: Instant, queued_bytes: u64, queued_records: u64) {
        let since = self.disk_work_since();
        let running = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.published.state(running, queued_bytes, queued_records);
    }

    /// How many appends the next one of this thread stands for; 0 if it is not timed.
    pub(crate) fn weight_of_next(&self) -> u32 {
        latency::weight_of_next(self.period.load(Ordering::Relaxed))
    }

    /// What is queued is not counted here.
    pub(crate) fn snapshot(&self, now: Instant) -> Stats {
        let flushes = Flushes(std::array::from_fn(|cause| self.flushes[cause].get()));
        let since = self.disk_work_since();
        Stats {
            appends: self.appends.get(),
            records: self.records.get(),
            payload_bytes: self.payload_bytes.get(),
            written_bytes: self.written_bytes.get(),
            storage_full: self.storage_full.get(),
            segment_unavailable: self.segment_unavailable.get(),
            batches: flushes.total(),
            flushes,
            syncs: self.syncs.get(),
            segments: self.segments.get(),
            segments_freed: self.segments_freed.get(),
            truncations: self.truncations.get(),
            segments_kept: self.segments_kept.get(),
            durable_lsn: Lsn::new(self.durable.get()),
            queued_bytes: 0,
            queued_records: 0,
            sync_running: since.map(|since| now.saturating_duration_since(since)),
            poisoned: self.poisoned.load(Ordering::Relaxed),
            sync_nanos: self.sync_nanos.snapshot(),
            append_nanos: self.append_nanos.snapshot(),
            batch_records: self.batch_records.snapshot(),
            batch_bytes: self.batch_bytes.snapshot(),
        }
    }
}

/// A number that one thread changes and any may read. Relaxed, because a counter orders nothing.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Nobody else changes it, so that this need not be one operation.
    pub(crate) fn add(&self, amount: u64) {
        self.set(self.get().wrapping_add(amount));
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
