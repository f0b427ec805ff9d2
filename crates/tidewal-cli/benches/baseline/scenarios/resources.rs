//! S10: allocations, memory and bytes.

use alloc_tracker::Session;

use super::SEGMENT_HEADER;
use super::memory::{self, Arenas, Probe};
use crate::measure::SMALL;
use crate::measure::context::{BenchContext, ROUND_STEPS};
use crate::measure::figures::Target::AtMost;
use crate::measure::figures::{Outcome, Unit};
use crate::measure::load::{Load, Timed};
use crate::measure::log::{Log, Shape};
use crate::measure::machine;
use crate::measure::slice::Slice;

pub fn run(context: &BenchContext) -> Outcome {
    let mut outcome = Outcome::default();
    let log = context.log(Shape::DEFAULT);
    show_allocations(&mut outcome, context, &log);
    show_bytes(&mut outcome, context, &log);
    log.close(&context.runtime);
    show_memory(&mut outcome, context);
    context.progress.inc(context.rounds as u64 * ROUND_STEPS);
    outcome
}

fn show_memory(outcome: &mut Outcome, context: &BenchContext) {
    context
        .progress
        .set_message("memory, in processes of their own");
    for probe in Probe::ALL {
        let peaks = |arenas| (0..context.rounds).map(move |_| memory::peak(context, probe, arenas));
        let what = format!("memory at its peak, {}", probe.name());
        outcome.aim(
            format!("{what}, one arena"),
            Unit::Bytes,
            peaks(Arenas::One).collect(),
            AtMost(probe.bound()),
        );
        let as_they_come = peaks(Arenas::AsTheyCome).collect();
        outcome.show(what, Unit::Bytes, as_they_come);
    }
}

fn show_allocations(outcome: &mut Outcome, context: &BenchContext, log: &Log) {
    let loads = [
        ("1 producer", 1, 1),
        ("64 producers", 64, 1),
        ("1,024 producers", context.producers(1024), 1),
        ("4 producers, 1,024 in flight each", 4, 1024),
    ];
    for (name, producers, in_flight) in loads {
        context.progress.set_message("allocations");
        let load = Load {
            in_flight,
            timed: Timed::Never,
            ..Load::new(producers, SMALL)
        };
        let rounds = (0..context.rounds).map(|_| allocations_per_append(context, log, &load));
        outcome.aim(
            format!("heap allocations per append, {name}"),
            Unit::Count,
            Some(rounds.collect()),
            AtMost(1.0),
        );
    }
}

/// The allocations of all threads, minus those for starting and stopping the producers.
fn allocations_per_append(context: &BenchContext, log: &Log, load: &Load) -> f64 {
    let one_each = Load {
        most: 1,
        ..load.clone()
    };
    let start = count(context, log, &one_each);
    let all = count(context, log, load);
    let appends = all.appends.saturating_sub(start.appends).max(1);
    all.allocations.saturating_sub(start.allocations) as f64 / appends as f64
}

struct Counted {
    allocations: u64,
    appends: u64,
}

fn count(context: &BenchContext, log: &Log, load: &Load) -> Counted {
    let session = Session::new();
    let operation = session.operation("load");
    let slice = {
        let _span = operation.measure_process();
        log.run(&context.runtime, load, context.slice)
    };
    let report = session.to_report();
    let (_, operation) = report.operations().next().expect("there is one");
    Counted {
        allocations: operation.total_allocations_count(),
        appends: slice.count,
    }
}

fn show_bytes(outcome: &mut Outcome, context: &BenchContext, log: &Log) {
    context.progress.set_message("bytes");
    let load = Load::new(64, SMALL);
    let rounds = (0..context.rounds).map(|_| {
        let before = machine::bytes_written(&context.dir);
        let slice = log.run(&context.runtime, &load, context.slice);
        let to_device = machine::bytes_written(&context.dir)
            .zip(before)
            .map(|(after, before)| (after - before) as f64 / slice.bytes as f64);
        (in_files(&slice), to_device)
    });
    let (in_files, to_device): (Vec<f64>, Vec<Option<f64>>) = rounds.unzip();
    outcome.aim(
        "bytes in files by bytes of payload, 64 producers, 100 B",
        Unit::Ratio,
        Some(in_files),
        AtMost(1.25),
    );
    outcome.show(
        "bytes written to the disk, by all processes, per byte of payload",
        Unit::Ratio,
        to_device.into_iter().collect(),
    );
}

/// Frames and segment headers, as the log counts them.
fn in_files(slice: &Slice) -> f64 {
    let headers = slice.work.segments * SEGMENT_HEADER as u64;
    (slice.work.written_bytes + headers) as f64 / slice.bytes as f64
}
