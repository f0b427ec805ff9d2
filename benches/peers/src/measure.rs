//! Producers in a closed loop, and what one of them has seen.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::peers::Peer;

/// One producer: it appends, waits for the acknowledgement, and appends again.
pub struct Producer {
    pub index: usize,
    payload: Bytes,
    load: Load,
    begun: Instant,
    samples: Samples,
}

/// How long a producer goes on.
#[derive(Clone)]
enum Load {
    /// For a time. What is acknowledged between the two counts.
    Timed { from: Instant, until: Instant },
    /// For so many appends, each of which carries its number, and is followed by a mark.
    Marked {
        marks: Marks,
        done: usize,
        of: usize,
    },
}

impl Producer {
    fn new(index: usize, payload: Bytes, load: Load) -> Self {
        Self {
            index,
            payload,
            load,
            begun: Instant::now(),
            samples: Samples::new(),
        }
    }

    /// A producer whose appends can be found in a trace.
    pub fn marked(marks: Marks, len: usize, appends: usize) -> Self {
        let load = Load::Marked {
            marks,
            done: 0,
            of: appends,
        };
        Self::new(0, vec![b'.'; len].into(), load)
    }

    /// The payload of the next append, or `None` at the end.
    pub fn next(&self) -> Option<Bytes> {
        match &self.load {
            Load::Timed { until, .. } => (self.begun < *until).then(|| self.payload.clone()),
            Load::Marked { done, of, .. } => (done < of).then(|| self.marked_payload(*done)),
        }
    }

    fn marked_payload(&self, number: usize) -> Bytes {
        let mut payload = self.payload.to_vec();
        let tag = tag(number);
        payload[..tag.len()].copy_from_slice(tag.as_bytes());
        payload.into()
    }

    /// The append is acknowledged. The next one begins at once, so that one look at the clock is
    /// the end of the one and the start of the other.
    pub fn acknowledged(&mut self) {
        match &mut self.load {
            Load::Timed { from, until } => {
                let (begun, now) = (self.begun, Instant::now());
                self.begun = now;
                if (*from..*until).contains(&now) {
                    self.samples.add(now - begun);
                }
            }
            Load::Marked { marks, done, .. } => {
                marks.leave(*done);
                *done += 1;
            }
        }
    }

    pub fn finish(self) -> Samples {
        self.samples
    }
}

/// Latencies, in nanoseconds, to within a hundredth.
pub struct Samples(Histogram<u32>);

impl Samples {
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_LATENCY_NANOS, 2);
        Self(histogram.expect("the bounds are in order"))
    }

    fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(quantile))
    }
}

/// A producer at work: a task, or a thread of its own.
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

/// What was measured of one peer in one round.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub appends_per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// Lets the producers append for that long, after a warm-up, and says what they saw.
pub fn measure(
    peer: &dyn Peer,
    producers: usize,
    seconds: Duration,
    len: usize,
) -> Result<Figures> {
    let payload = Bytes::from(vec![0x5a; len]);
    let from = Instant::now() + WARM_UP;
    let until = from + seconds;
    let running: Vec<Running> = (0..producers)
        .map(|index| {
            let load = Load::Timed { from, until };
            peer.start(Producer::new(index, payload.clone(), load))
        })
        .collect();
    let mut all = Samples::new();
    for producer in running {
        all.merge(&producer.join()?);
    }
    Ok(Figures {
        appends_per_second: ratio(all.0.len()) / seconds.as_secs_f64(),
        p50: all.quantile(0.5),
        p99: all.quantile(0.99),
    })
}

#[expect(clippy::cast_precision_loss, reason = "nobody appends 2^53 times")]
fn ratio(count: u64) -> f64 {
    count as f64
}

/// Where to knock so that a trace shows it: files that do not exist.
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

    /// Says that the append of that number is acknowledged.
    fn leave(&self, number: usize) {
        self.knock(&format!("{MARK_ACKNOWLEDGED}{number:06}"));
    }

    fn knock(&self, name: &str) {
        let found = std::fs::File::open(self.dir.join(name)).is_ok();
        assert!(!found, "nothing has the name of a mark");
    }
}

/// What an append's payload begins with when it is traced.
pub fn tag(number: usize) -> String {
    format!("tidewal-check-{number:06}")
}

pub const MARK_BEGIN: &str = "tidewal-mark-begin";
pub const MARK_ACKNOWLEDGED: &str = "tidewal-mark-acknowledged-";

/// Long enough for a thousand threads to be there.
const WARM_UP: Duration = Duration::from_millis(200);

const LONGEST_LATENCY_NANOS: u64 = 60_000_000_000;
