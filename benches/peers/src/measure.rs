//! Producers, and their measurements.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::peers::Peer;
use crate::resources::{Device, Spent, Used};
use crate::workload::{Call, Workload};

/// One producer. It makes each payload itself, like a service that encodes its records.
pub struct Producer {
    pub index: usize,
    pub workload: Workload,
    span: Span,
    /// The number of appends until the next timed one.
    until_timed: u64,
    /// The start times of the appends in flight, oldest first. `None` for those that are not timed.
    begun: VecDeque<Option<Instant>>,
    is_over: bool,
    samples: Samples,
}

/// When a producer stops.
#[derive(Clone)]
pub enum Span {
    /// After a time. Appends that are acknowledged between the two times count.
    Timed { from: Instant, until: Instant },
    /// After this many appends. Each contains its number and is followed by a mark.
    Marked {
        marks: Marks,
        done: usize,
        of: usize,
    },
}

impl Producer {
    pub fn new(index: usize, workload: Workload, span: Span) -> Self {
        Self {
            index,
            workload,
            span,
            until_timed: 0,
            begun: VecDeque::new(),
            is_over: false,
            samples: Samples::new(),
        }
    }

    /// A producer whose appends can be found in a trace.
    pub fn marked(marks: Marks, workload: Workload, appends: usize) -> Self {
        let of = appends;
        Self::new(0, workload, Span::Marked { marks, done: 0, of })
    }

    /// The payload of the next append, which begins now. `None` at the end.
    pub fn next(&mut self) -> Option<Bytes> {
        self.begin().then(|| self.payload())
    }

    /// The payloads of the next atomic batch.
    pub fn next_batch(&mut self) -> Option<Vec<Bytes>> {
        let records = 0..self.workload.call.records();
        self.begin()
            .then(|| records.map(|_| self.payload()).collect())
    }

    fn begin(&mut self) -> bool {
        if let Span::Marked { done, of, .. } = self.span {
            return done < of;
        }
        let begun = (self.until_timed == 0).then(Instant::now);
        self.until_timed = match self.until_timed {
            0 => self.workload.timed_one_in() - 1,
            left => left - 1,
        };
        if !self.is_over {
            self.begun.push_back(begun);
        }
        !self.is_over
    }

    fn payload(&self) -> Bytes {
        let mut payload = vec![FILLER; self.workload.len];
        match &self.span {
            Span::Timed { .. } => {
                payload[..8].copy_from_slice(&self.samples.count.to_le_bytes());
            }
            Span::Marked { done, .. } => {
                let tag = tag(*done);
                payload[..tag.len()].copy_from_slice(tag.as_bytes());
            }
        }
        payload.into()
    }

    /// The oldest append in flight is acknowledged.
    pub fn acknowledged(&mut self) {
        match &mut self.span {
            Span::Timed { from, until } => {
                let begun = self.begun.pop_front().flatten();
                if let Some(begun) = begun {
                    let now = Instant::now();
                    self.samples.is_counting = (*from..*until).contains(&now);
                    self.is_over |= now >= *until;
                    self.samples.time(now - begun);
                }
                self.samples.count(self.workload.call.records());
            }
            Span::Marked { marks, done, .. } => {
                marks.leave(*done);
                *done += 1;
            }
        }
    }

    pub fn finish(self) -> Samples {
        self.samples
    }
}

/// Latencies in nanoseconds, with an error of at most a hundredth, and the number of records.
pub struct Samples {
    latencies: Histogram<u32>,
    count: u64,
    is_counting: bool,
}

impl Samples {
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_LATENCY_NANOS, 2);
        Self {
            latencies: histogram.expect("the bounds are in order"),
            count: 0,
            is_counting: false,
        }
    }

    fn time(&mut self, latency: Duration) {
        if self.is_counting {
            let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            self.latencies.saturating_record(nanos);
        }
    }

    fn count(&mut self, records: u64) {
        if self.is_counting {
            self.count += records;
        }
    }

    fn merge(&mut self, other: &Self) {
        let merged = self.latencies.add(&other.latencies);
        merged.expect("the bounds are the same");
        self.count += other.count;
    }

    fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latencies.value_at_quantile(quantile))
    }
}

/// A running producer: a task or a separate thread.
pub enum Running {
    Task(JoinHandle<Result<Samples>>),
    Thread(thread::JoinHandle<Result<Samples>>),
}

impl Running {
    pub fn join(self) -> Result<Samples> {
        match self {
            Self::Task(task) => Handle::current().block_on(task)?,
            Self::Thread(thread) => thread.join().map_err(|_| anyhow!("a producer panicked"))?,
        }
    }
}

/// The measurements of one peer in one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub records_per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// Processor time of the whole process for each record.
    pub processor: Duration,
    /// Bytes that all processes wrote to the disk, for each byte of payload.
    pub disk_ratio: Option<f64>,
}

/// Lets the producers append for this long, after a warm-up, and returns their measurements.
pub fn measure(
    peer: &dyn Peer,
    workload: &Workload,
    (warm_up, seconds): (Duration, Duration),
    device: &Device,
) -> Result<Figures> {
    let from = Instant::now() + warm_up;
    let until = from + seconds;
    let running: Vec<Running> = (0..workload.producers)
        .map(|index| peer.start(Producer::new(index, *workload, Span::Timed { from, until })))
        .collect();
    sleep_until(from);
    let before = Used::now(device);
    sleep_until(until);
    let spent = Used::now(device).since(before);
    let mut all = Samples::new();
    for producer in running {
        all.merge(&producer.join()?);
    }
    Ok(figures(&all, workload, seconds, spent))
}

fn figures(all: &Samples, workload: &Workload, seconds: Duration, spent: Spent) -> Figures {
    let records = float(all.count);
    let payload = records * float(workload.len as u64);
    Figures {
        records_per_second: records / seconds.as_secs_f64(),
        p50: all.quantile(0.5),
        p99: all.quantile(0.99),
        processor: spent.processor.div_f64(records.max(1.0)),
        disk_ratio: spent
            .disk_bytes
            .map(|bytes| float(bytes) / payload.max(1.0)),
    }
}

fn sleep_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}

#[expect(clippy::cast_precision_loss, reason = "nothing here comes near 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Files that do not exist. A call on one of them is a mark in the trace.
#[derive(Clone)]
pub struct Marks {
    dir: PathBuf,
}

impl Marks {
    pub fn begin(dir: &Path) -> Self {
        let marks = Self { dir: dir.into() };
        marks.knock(MARK_BEGIN);
        marks
    }

    /// Marks the append with this number as acknowledged.
    fn leave(&self, number: usize) {
        self.knock(&format!("{MARK_ACKNOWLEDGED}{number:06}"));
    }

    fn knock(&self, name: &str) {
        let found = std::fs::File::open(self.dir.join(name)).is_ok();
        assert!(!found, "nothing has the name of a mark");
    }
}

/// The beginning of a payload when appends are traced.
pub fn tag(number: usize) -> String {
    format!("tidewal-check-{number:06}")
}

/// The traced work: one producer, one record at a time.
pub fn traced_workload(len: usize) -> Workload {
    Workload {
        name: "traced",
        producers: 1,
        in_flight: 1,
        len,
        call: Call::Durable,
        state: crate::peers::State::Traced,
        variants: true,
    }
}

pub const MARK_BEGIN: &str = "tidewal-mark-begin";
pub const MARK_ACKNOWLEDGED: &str = "tidewal-mark-acknowledged-";

const FILLER: u8 = 0x5a;

const LONGEST_LATENCY_NANOS: u64 = 60_000_000_000;
