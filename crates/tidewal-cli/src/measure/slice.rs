//! The results of one method in one slice of time.

use std::time::Duration;

use hdrhistogram::Histogram;
use tidewal::Stats;

/// A slice of one method.
#[derive(Clone)]
pub struct Slice {
    /// The number of appends, bare writes or records read.
    pub count: u64,
    /// Bytes of payload.
    pub bytes: u64,
    pub elapsed: Duration,
    /// The processor time of the process, if it was measured.
    processor: Option<Duration>,
    waits: Histogram<u64>,
    /// What the log has done in the meantime, according to its own counters. Zero for a bare method.
    pub work: Work,
}

/// The difference of two readings of a log's counters.
#[derive(Clone, Copy, Default)]
pub struct Work {
    pub records: u64,
    pub written_bytes: u64,
    pub batches: u64,
    pub syncs: u64,
    pub segments: u64,
}

impl Slice {
    /// `waits` are in nanoseconds, and may be a sample.
    pub fn new(count: u64, bytes: u64, elapsed: Duration, waits: &[u64]) -> Self {
        // Without bounds, it grows as necessary.
        let mut histogram = Histogram::new(DIGITS).expect("three digits are allowed");
        for &wait in waits {
            histogram
                .record(wait)
                .expect("a wait is not centuries long");
        }
        Self {
            count,
            bytes,
            elapsed,
            processor: None,
            waits: histogram,
            work: Work::default(),
        }
    }

    pub fn with_work(self, work: Work) -> Self {
        Self { work, ..self }
    }

    pub fn with_processor(self, processor: Option<Duration>) -> Self {
        Self { processor, ..self }
    }

    /// Counts per second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// Bytes of payload per second.
    pub fn bandwidth(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in seconds that this share of all appends did not exceed.
    pub fn wait(&self, share: f64) -> f64 {
        self.waits.value_at_quantile(share) as f64 / 1e9
    }

    pub fn p50(&self) -> f64 {
        self.wait(0.5)
    }

    pub fn p99(&self) -> f64 {
        self.wait(0.99)
    }

    pub fn p999(&self) -> f64 {
        self.wait(0.999)
    }

    /// Seconds of processor time for each append, if they were measured.
    pub fn processor_each(&self) -> Option<f64> {
        let processor = self.processor?.as_secs_f64();
        Some(processor / self.count.max(1) as f64)
    }

    pub fn per_sync(&self) -> f64 {
        self.count as f64 / self.work.syncs.max(1) as f64
    }

    pub fn syncs_per_second(&self) -> f64 {
        self.work.syncs as f64 / self.elapsed.as_secs_f64()
    }

    /// Adds another slice to this one.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.elapsed += other.elapsed;
        let both = self.processor.zip(other.processor);
        self.processor = both.map(|(one, other)| one + other);
        self.waits
            .add(&other.waits)
            .expect("histograms that grow can be added");
        self.work.add(other.work);
    }
}

impl Work {
    pub fn between(before: &Stats, after: &Stats) -> Self {
        Self {
            records: after.records - before.records,
            written_bytes: after.written_bytes - before.written_bytes,
            batches: after.batches - before.batches,
            syncs: after.syncs - before.syncs,
            segments: after.segments - before.segments,
        }
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.written_bytes += other.written_bytes;
        self.batches += other.batches;
        self.syncs += other.syncs;
        self.segments += other.segments;
    }
}

pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Significant digits of a latency.
const DIGITS: u8 = 3;
