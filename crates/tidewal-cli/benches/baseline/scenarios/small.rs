//! S1 to S4 and S6: small records, from one producer to many.

use std::time::Duration;

use tidewal::Durability;

use super::{IN_MEMORY, ON_DISK};
use crate::measure::bare::Method;
use crate::measure::comparison::{Comparison, Runs};
use crate::measure::context::BenchContext;
use crate::measure::figures::Target::{AtLeast, AtMost};
use crate::measure::figures::{Outcome, Unit};
use crate::measure::load::{Load, Timed};
use crate::measure::log::Shape;
use crate::measure::report::thousands;
use crate::measure::slice::Slice;
use crate::measure::{SMALL, SMALL_RECORD};

/// S1.
pub fn one_producer(context: &BenchContext) -> Outcome {
    let (mut outcome, runs) = shared_sync(context, 1, 1.25);
    outcome.aim(
        IN_MEMORY_P50,
        Unit::Time,
        runs.each(IN_MEMORY, Slice::p50),
        AtMost(25e-6),
    );
    let runs = busy_polling(context);
    outcome.aim(
        "with `busy_poll`: p50 relative to write + fdatasync",
        Unit::Ratio,
        runs.ratio(BUSY, BASELINE, p50_ratio),
        AtMost(1.10),
    );
    outcome.show(
        "with `busy_poll`: p50 relative to the log without",
        Unit::Ratio,
        runs.ratio(BUSY, ON_DISK, p50_ratio),
    );
    outcome.aim(
        "with `busy_poll`, in memory: p50",
        Unit::Time,
        runs.each(BUSY_IN_MEMORY, Slice::p50),
        AtMost(5e-6),
    );
    outcome
}

/// One producer, with and without `busy_poll`, beside the baseline.
fn busy_polling(context: &BenchContext) -> Runs {
    let load = Load::new(1, SMALL);
    let shape = Shape::busy_polling(BUSY_POLL);
    let (log, busy) = (context.log(Shape::DEFAULT), context.log(shape));
    let memory = context.log_in_memory(shape);
    let runs = Comparison::new(context)
        .enter_bare(Method::BASELINE, SMALL_RECORD)
        .enter_log(ON_DISK, Some(&log), load.clone())
        .enter_log(BUSY, Some(&busy), load.clone())
        .enter_log(BUSY_IN_MEMORY, memory.as_ref(), load)
        .run();
    for log in [Some(log), Some(busy), memory].into_iter().flatten() {
        log.close(&context.runtime);
    }
    runs
}

/// S2. The baseline is a sync of one record, which is a little faster than one of 64.
pub fn many_producers(context: &BenchContext) -> Outcome {
    let producers = 64;
    let best = |log: &Slice, baseline: &Slice| log.rate() / (producers as f64 / baseline.p50());
    let (mut outcome, runs) = shared_sync(context, producers, 1.35);
    outcome.aim(
        "appends/s by 64 per write + fdatasync",
        Unit::Ratio,
        runs.ratio(ON_DISK, BASELINE, best),
        AtLeast(0.6),
    );
    outcome
}

/// Producers that share a sync, compared with a sync of one record.
fn shared_sync(context: &BenchContext, producers: usize, p50_bound: f64) -> (Outcome, Runs) {
    let runs = beside_the_baseline(context, &Load::new(producers, SMALL), SMALL_RECORD);
    let mut outcome = Outcome::default();
    outcome.aim(
        "p50 relative to write + fdatasync",
        Unit::Ratio,
        runs.ratio(ON_DISK, BASELINE, p50_ratio),
        AtMost(p50_bound),
    );
    let by_dsync = runs.ratio(ON_DISK, Method::Dsync.name(), p50_ratio);
    outcome.show("p50 relative to write, O_DSYNC", Unit::Ratio, by_dsync);
    show_waits(&mut outcome, &runs);
    (outcome, runs)
}

/// S3.
pub fn crowd(context: &BenchContext) -> Outcome {
    let load = Load::new(context.producers(1024), SMALL);
    let targets = Targets {
        rate: 2e6,
        by_memory: Some(0.8),
        processor: 500e-9,
        p99: None,
    };
    throughput(context, &load, &targets)
}

/// S4.
pub fn pipelines(context: &BenchContext) -> Outcome {
    let load = Load {
        in_flight: 1024,
        timed: Timed::OneIn(16),
        ..Load::new(4, SMALL)
    };
    let targets = Targets {
        rate: 4e6,
        by_memory: None,
        processor: 260e-9,
        p99: Some(3e-3),
    };
    throughput(context, &load, &targets)
}

/// The targets of a load for which the processor is almost the limit.
struct Targets {
    /// Durable appends/s.
    rate: f64,
    /// Relative to the rate in memory.
    by_memory: Option<f64>,
    /// In seconds for each append.
    processor: f64,
    /// In seconds.
    p99: Option<f64>,
}

fn throughput(context: &BenchContext, load: &Load, targets: &Targets) -> Outcome {
    let under_way = load.producers * load.in_flight;
    let runs = beside_the_baseline(context, load, under_way * SMALL_RECORD);
    let by_memory = runs.ratio(ON_DISK, IN_MEMORY, rate_ratio);
    let best = |log: &Slice, baseline: &Slice| log.rate() / (under_way as f64 / baseline.p50());
    let records = thousands(under_way as u64);
    let mut outcome = Outcome::default();
    outcome.aim(
        "durable appends/s",
        Unit::PerSecond,
        runs.each(ON_DISK, Slice::rate),
        AtLeast(targets.rate),
    );
    match targets.by_memory {
        Some(bound) => outcome.aim(BY_MEMORY, Unit::Ratio, by_memory, AtLeast(bound)),
        None => outcome.show(BY_MEMORY, Unit::Ratio, by_memory),
    }
    outcome.aim(
        "processor time for each append",
        Unit::Time,
        runs.each_known(ON_DISK, Slice::processor_each),
        AtMost(targets.processor),
    );
    if let Some(bound) = targets.p99 {
        let p99 = runs.each(ON_DISK, Slice::p99);
        outcome.aim("p99", Unit::Time, p99, AtMost(bound));
    }
    outcome.show(
        format!("appends/s by {records} per write + fdatasync of that many records"),
        Unit::Ratio,
        runs.ratio(ON_DISK, BASELINE, best),
    );
    show_waits(&mut outcome, &runs);
    outcome
}

/// The bare disk, the log in memory and the log.
fn beside_the_baseline(context: &BenchContext, load: &Load, piece_len: usize) -> Runs {
    let log = context.log(Shape::DEFAULT);
    let memory = context.log_in_memory(Shape::DEFAULT);
    let runs = Comparison::new(context)
        .enter_bare(Method::Fdatasync, piece_len)
        .enter_bare(Method::Dsync, piece_len)
        .enter_log(IN_MEMORY, memory.as_ref(), load.clone())
        .enter_log(ON_DISK, Some(&log), load.clone())
        .run();
    log.close(&context.runtime);
    if let Some(memory) = memory {
        memory.close(&context.runtime);
    }
    runs
}

/// Shows the latency of each method.
fn show_waits(outcome: &mut Outcome, runs: &Runs) {
    for method in [Method::Fdatasync, Method::Dsync] {
        show_wait(outcome, runs, method.name());
    }
    for name in [IN_MEMORY, ON_DISK] {
        show_wait(outcome, runs, name);
        show_rate(outcome, runs, name);
    }
    outcome.show(
        "tidewal: appends per sync",
        Unit::Count,
        runs.each(ON_DISK, Slice::per_sync),
    );
}

fn show_wait(outcome: &mut Outcome, runs: &Runs, name: &str) {
    let (p50, p99) = (runs.each(name, Slice::p50), runs.each(name, Slice::p99));
    outcome.show(format!("{name}: p50"), Unit::Time, p50);
    outcome.show(format!("{name}: p99"), Unit::Time, p99);
}

fn show_rate(outcome: &mut Outcome, runs: &Runs, name: &str) {
    let rate = runs.each(name, Slice::rate);
    outcome.show(format!("{name}: appends/s"), Unit::PerSecond, rate);
}

/// S6.
pub fn written(context: &BenchContext) -> Outcome {
    let mut outcome = Outcome::default();
    let log = context.log(Shape::DEFAULT);
    let busy = context.log(Shape::busy_polling(BUSY_POLL));
    let memory = context.log_in_memory(Shape::DEFAULT);
    let load = |producers| Load {
        durability: Durability::Written,
        timed: Timed::OneIn(16),
        ..Load::new(producers, SMALL)
    };
    let runs = Comparison::new(context)
        .enter_log("1 producer in memory", memory.as_ref(), load(1))
        .enter_log("1 producer", Some(&log), load(1))
        .enter_log("4 producers in memory", memory.as_ref(), load(4))
        .enter_log("4 producers", Some(&log), load(4))
        .enter_log(BUSY, Some(&busy), load(1))
        .run();
    outcome.aim(
        "1 producer with `busy_poll`: appends/s",
        Unit::PerSecond,
        runs.each(BUSY, Slice::rate),
        AtLeast(3e5),
    );
    show_wait(&mut outcome, &runs, BUSY);
    for name in ["1 producer", "4 producers"] {
        let in_memory = format!("{name} in memory");
        outcome.aim(
            format!("{name}: appends/s by the same in memory"),
            Unit::Ratio,
            runs.ratio(name, &in_memory, rate_ratio),
            AtLeast(0.8),
        );
        for name in [name, in_memory.as_str()] {
            show_rate(&mut outcome, &runs, name);
            show_wait(&mut outcome, &runs, name);
        }
    }
    for log in [Some(log), Some(busy), memory].into_iter().flatten() {
        log.close(&context.runtime);
    }
    outcome
}

fn p50_ratio(log: &Slice, baseline: &Slice) -> f64 {
    log.p50() / baseline.p50()
}

fn rate_ratio(log: &Slice, other: &Slice) -> f64 {
    log.rate() / other.rate()
}

const BUSY: &str = "tidewal with `busy_poll`";
const BUSY_IN_MEMORY: &str = "tidewal in memory with `busy_poll`";
const IN_MEMORY_P50: &str = "in memory: p50";
/// More than an append takes on most disks.
const BUSY_POLL: Duration = Duration::from_micros(500);
const BASELINE: &str = Method::BASELINE.name();
const BY_MEMORY: &str = "appends/s by the same in memory";
