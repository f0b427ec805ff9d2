//! The counters that [`Stats`] is made from.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::lsn::Lsn;
use crate::stats::figures::{BatchFacts, Count, Counter, Level, Spread};
use crate::stats::histogram::Tally;
use crate::stats::latency::{self, Latencies};
use crate::stats::published::Published;
use crate::stats::{FlushCause, Flushes, Stats};

/// All counters. Only the writer changes them.
#[derive(Debug)]
pub(crate) struct Counters {
    counts: [Counter; Count::ALL.len()],
    levels: [Counter; Level::ALL.len()],
    spreads: [Tally; Spread::ALL.len()],
    flushes: [Counter; FlushCause::ALL.len()],
    /// When the log was opened.
    epoch: Instant,
    /// When the writer's current wait for the disk began: nanoseconds since `epoch`, plus 1. 0 if
    /// the writer is not waiting.
    disk_work: Counter,
    /// How many such waits have begun.
    disk_works: Counter,
    /// One append in 2^`period` is timed.
    period: AtomicU32,
    published: Published,
}

impl Counters {
    /// The counters of a log that was opened at `epoch`. `label` distinguishes its published
    /// figures from those of other logs.
    pub(crate) fn new(epoch: Instant, label: &str) -> Self {
        Self {
            counts: std::array::from_fn(|_| Counter::default()),
            levels: std::array::from_fn(|_| Counter::default()),
            spreads: Spread::ALL.map(tally),
            flushes: std::array::from_fn(|_| Counter::default()),
            epoch,
            disk_work: Counter::default(),
            disk_works: Counter::default(),
            period: AtomicU32::new(0),
            published: Published::new(label),
        }
    }

    fn add(&self, what: Count, amount: u64) {
        self.counts[what as usize].add(amount);
        self.published.add(what, amount);
    }

    fn set(&self, what: Level, value: u64) {
        self.levels[what as usize].set(value);
        self.published.set(what, value);
    }

    /// Records a value that represents `weight` values. It is published once, because a recorder
    /// takes values one by one.
    fn record(&self, what: Spread, value: u64, weight: u64) {
        self.spreads[what as usize].add(value, weight);
        self.published.record(what, value);
    }

    pub(crate) fn note_opened(&self, durable: Lsn, segments: usize) {
        self.set(Level::DurableLsn, durable.get());
        self.set(Level::Segments, segments as u64);
        self.set(Level::Poisoned, 0);
        self.published.state(Duration::ZERO, 0, 0);
    }

    pub(crate) fn note_batch(&self, batch: &BatchFacts) {
        self.flushes[batch.cause as usize].add(1);
        self.published.flush(batch.cause);
        self.add(Count::Appends, batch.appends);
        self.add(Count::Records, batch.records);
        self.add(Count::PayloadBytes, batch.payload_bytes);
        self.add(Count::WrittenBytes, batch.bytes);
        self.record(Spread::BatchRecords, batch.records, 1);
        self.record(Spread::BatchBytes, batch.bytes, 1);
        let period = self.period.load(Ordering::Relaxed);
        let next = latency::period_after(period, batch.appends);
        if next != period {
            self.period.store(next, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_sync(&self, took: Duration, durable: Lsn) {
        self.add(Count::Syncs, 1);
        self.set(Level::DurableLsn, durable.get());
        self.record(Spread::SyncTime, nanos(took), 1);
    }

    /// Records that the appends in this list are answered now.
    pub(crate) fn note_latencies(&self, latencies: &Latencies, now: Instant) {
        for (taken, weight) in latencies.until(now) {
            self.record(Spread::AppendTime, taken, weight);
        }
    }

    pub(crate) fn note_storage_full(&self, appends: usize) {
        self.add(Count::StorageFull, appends as u64);
    }

    pub(crate) fn note_segment_unavailable(&self, appends: usize) {
        self.add(Count::SegmentUnavailable, appends as u64);
    }

    pub(crate) fn note_segment_opened(&self, kept: usize) {
        self.add(Count::SegmentsOpened, 1);
        self.set(Level::Segments, kept as u64);
    }

    pub(crate) fn note_truncation(&self, truncated: usize, kept: usize) {
        self.add(Count::Truncations, 1);
        self.add(Count::SegmentsTruncated, truncated as u64);
        self.set(Level::Segments, kept as u64);
    }

    /// Records how many segments and bytes are kept only because of holds.
    pub(crate) fn note_held(&self, (segments, bytes): (u64, u64)) {
        self.set(Level::HeldSegments, segments);
        self.set(Level::HeldBytes, bytes);
    }

    pub(crate) fn note_poisoned(&self) {
        self.set(Level::Poisoned, 1);
    }

    /// Records that the writer begins to wait for the disk.
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

    /// Publishes the figures that change without the writer.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn publish_state(&self, now: Instant, queued_bytes: u64, queued_records: u64) {
        let since = self.disk_work_since();
        let running = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.published.state(running, queued_bytes, queued_records);
    }

    /// How many appends the next append of this thread represents, or 0 if it is not timed.
    pub(crate) fn weight_of_next(&self) -> u32 {
        latency::weight_of_next(self.period.load(Ordering::Relaxed))
    }

    /// The figures of the queue are not kept here.
    pub(crate) fn snapshot(&self, now: Instant) -> Stats {
        let flushes = Flushes(std::array::from_fn(|cause| self.flushes[cause].get()));
        let since = self.disk_work_since();
        let count = |what: Count| self.counts[what as usize].get();
        let level = |what: Level| self.levels[what as usize].get();
        let spread = |what: Spread| self.spreads[what as usize].snapshot();
        Stats {
            appends: count(Count::Appends),
            records: count(Count::Records),
            payload_bytes: count(Count::PayloadBytes),
            written_bytes: count(Count::WrittenBytes),
            storage_full: count(Count::StorageFull),
            segment_unavailable: count(Count::SegmentUnavailable),
            batches: flushes.total(),
            flushes,
            syncs: count(Count::Syncs),
            segments: count(Count::SegmentsOpened),
            segments_truncated: count(Count::SegmentsTruncated),
            truncations: count(Count::Truncations),
            segments_kept: level(Level::Segments),
            durable_lsn: Lsn::new(level(Level::DurableLsn)),
            queued_bytes: 0,
            queued_records: 0,
            held_segments: level(Level::HeldSegments),
            held_bytes: level(Level::HeldBytes),
            followers: 0,
            follow_buffer_bytes: 0,
            sync_running: since.map(|since| now.saturating_duration_since(since)),
            poisoned: level(Level::Poisoned) != 0,
            sync_nanos: spread(Spread::SyncTime),
            append_nanos: spread(Spread::AppendTime),
            batch_records: spread(Spread::BatchRecords),
            batch_bytes: spread(Spread::BatchBytes),
        }
    }
}

fn tally(what: Spread) -> Tally {
    match what {
        Spread::SyncTime | Spread::AppendTime => Tally::of_times(),
        Spread::BatchRecords | Spread::BatchBytes => Tally::of_sizes(),
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
