//! The load: producers and what they append.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidewal::{Durability, PendingAppend, Wal};
use tokio::task::JoinSet;

use crate::measure::processor::processor_time;
use crate::measure::slice::{Slice, Work, nanos};

/// A load of concurrent producers.
#[derive(Clone)]
pub struct Load {
    pub producers: usize,
    /// The appends that each producer keeps in flight. With one, it is a closed loop.
    pub in_flight: usize,
    pub payload: Bytes,
    pub durability: Durability,
    pub think: Think,
    /// Which appends are timed.
    pub timed: Timed,
    /// The number of appends after which each producer stops, even if there is time left.
    pub most: u64,
    /// Whether the log is truncated in the meantime, as a service does after its snapshots.
    pub truncates: bool,
}

/// What a producer does between an answer and its next append.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Think {
    Not,
    /// Works for this long, and yields in between.
    Work(Duration),
    /// Sleeps for this long.
    Sleep(Duration),
}

/// Which appends are timed. Two clock readings and storing the result are negligible compared to a
/// sync, but not compared to a thousandth of one.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Timed {
    Never,
    OneIn(u64),
}

impl Load {
    /// A closed loop without a pause. With many producers of small records, only some appends are
    /// timed.
    pub fn new(producers: usize, payload_len: usize) -> Self {
        Self {
            producers,
            in_flight: 1,
            payload: vec![0x5a; payload_len].into(),
            durability: Durability::Durable,
            think: Think::Not,
            timed: Timed::OneIn(if producers > 64 { 16 } else { 1 }),
            most: u64::MAX,
            truncates: true,
        }
    }

    /// Checks every slice. Each append was answered with `Ok` (otherwise a producer would have
    /// panicked), and the log's own count agrees. Each sync answers at most as many appends as were
    /// in flight, so there were enough syncs.
    pub fn check(&self, slice: &Slice) {
        let Work { records, syncs, .. } = slice.work;
        assert_eq!(records, slice.count, "the log counts other appends than we");
        if self.durability == Durability::Durable {
            let under_way = (self.producers * self.in_flight) as u64;
            assert!(
                syncs * under_way >= slice.count,
                "{} appends were acknowledged by {syncs} syncs",
                slice.count
            );
        }
    }
}

/// Runs a load for `time`. The measured time ends with the last answer.
pub async fn run(wal: &Wal, load: &Load, time: Duration) -> Slice {
    let stop = Arc::new(AtomicBool::new(false));
    let truncator = load
        .truncates
        .then(|| tokio::spawn(truncate_as_it_goes(wal.clone())));
    let (start, processor) = (Instant::now(), processor_time());
    let producers: JoinSet<Tally> = (0..load.producers)
        .map(|number| Producer::new(wal, load, &stop, number).run())
        .collect();
    let stopping = async {
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        std::future::pending::<Infallible>().await
    };
    let tallies = tokio::select! {
        tallies = producers.join_all() => tallies,
        never = stopping => match never {},
    };
    let elapsed = start.elapsed();
    let processor = processor_time().zip(processor);
    if let Some(truncator) = truncator {
        truncator.abort();
        // The task ends only when it is aborted or a truncation fails.
        assert!(truncator.await.is_err_and(|error| error.is_cancelled()));
    }
    let processor = processor.map(|(after, before)| after.saturating_sub(before));
    sum_up(&tallies, load, elapsed).with_processor(processor)
}

fn sum_up(tallies: &[Tally], load: &Load, elapsed: Duration) -> Slice {
    let count = tallies.iter().map(|tally| tally.appends).sum();
    let waits: Vec<u64> = tallies
        .iter()
        .flat_map(|tally| &tally.waits)
        .copied()
        .collect();
    Slice::new(count, count * load.payload.len() as u64, elapsed, &waits)
}

/// Truncates whenever the log has moved to another segment.
async fn truncate_as_it_goes(wal: Wal) {
    let mut seen = wal.stats().segments;
    loop {
        tokio::time::sleep(TRUNCATION_POLL).await;
        let segments = wal.stats().segments;
        if segments > seen {
            seen = segments;
            let truncated = wal.truncate_before(wal.durable_lsn().next()).await;
            truncated.expect("what is durable can be truncated");
        }
    }
}

struct Producer {
    wal: Wal,
    load: Load,
    stop: Arc<AtomicBool>,
    /// The number of submissions until the next timed one.
    until_timed: u64,
    tally: Tally,
}

/// The results of one producer.
#[derive(Default)]
struct Tally {
    appends: u64,
    /// In nanoseconds.
    waits: Vec<u64>,
}

impl Producer {
    fn new(wal: &Wal, load: &Load, stop: &Arc<AtomicBool>, number: usize) -> Self {
        let until_timed = match load.timed {
            Timed::Never => u64::MAX,
            // Producers begin at different offsets.
            Timed::OneIn(every) => number as u64 % every,
        };
        // Callers of a service share neither their bytes nor a reference count.
        let payload = Bytes::copy_from_slice(&load.payload);
        Self {
            wal: wal.clone(),
            load: Load {
                payload,
                ..load.clone()
            },
            stop: Arc::clone(stop),
            until_timed,
            tally: Tally::default(),
        }
    }

    async fn run(self) -> Tally {
        if self.load.in_flight == 1 {
            self.run_closed_loop().await
        } else {
            self.run_ahead().await
        }
    }

    async fn run_closed_loop(mut self) -> Tally {
        while !self.is_over(self.tally.appends) {
            let since = self.time();
            let payload = self.load.payload.clone();
            let appended = self.wal.append_with(payload, self.load.durability);
            appended.await.expect("the append succeeds");
            self.note(since);
            self.load.think.pause().await;
        }
        self.tally
    }

    async fn run_ahead(mut self) -> Tally {
        let mut flight = VecDeque::with_capacity(self.load.in_flight);
        let mut submitted = 0;
        loop {
            while flight.len() < self.load.in_flight && !self.is_over(submitted) {
                flight.push_back(self.submit().await);
                submitted += 1;
            }
            let Some((since, pending)) = flight.pop_front() else {
                return self.tally;
            };
            pending.await.expect("the append succeeds");
            self.note(since);
        }
    }

    async fn submit(&mut self) -> (Option<Instant>, PendingAppend) {
        let since = self.time();
        let submitted = self.wal.submit(self.load.payload.clone()).await;
        (since, submitted.expect("the queue takes it"))
    }

    fn is_over(&self, appends: u64) -> bool {
        appends >= self.load.most || self.stop.load(Ordering::Relaxed)
    }

    /// The current time, if this append is timed.
    fn time(&mut self) -> Option<Instant> {
        if self.until_timed > 0 {
            self.until_timed -= 1;
            return None;
        }
        if let Timed::OneIn(every) = self.load.timed {
            self.until_timed = every - 1;
        }
        Some(Instant::now())
    }

    fn note(&mut self, since: Option<Instant>) {
        self.tally.appends += 1;
        if let Some(since) = since {
            self.tally.waits.push(nanos(since.elapsed()));
        }
    }
}

impl Think {
    async fn pause(self) {
        match self {
            Self::Not => {}
            Self::Work(time) => {
                let start = Instant::now();
                while start.elapsed() < time {
                    tokio::task::yield_now().await;
                }
            }
            Self::Sleep(time) => tokio::time::sleep(time).await,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Not => "none",
            Self::Work(_) => "50 µs of work",
            Self::Sleep(_) => "1 ms of sleep",
        }
    }
}

/// How often the truncating task checks for a new segment.
const TRUNCATION_POLL: Duration = Duration::from_millis(5);
