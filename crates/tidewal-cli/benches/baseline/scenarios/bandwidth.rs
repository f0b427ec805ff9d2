//! S5: large records.

use super::{IN_MEMORY, ON_DISK};
use crate::measure::bare::{Method, PAGE};
use crate::measure::comparison::{Comparison, Runs};
use crate::measure::context::BenchContext;
use crate::measure::figures::Target::{AtLeast, AtMost};
use crate::measure::figures::{Outcome, Unit};
use crate::measure::load::Load;
use crate::measure::log::{Log, Shape};
use crate::measure::scratch::KIB;
use crate::measure::slice::Slice;

pub fn run(context: &BenchContext) -> Outcome {
    let load = Load::new(16, 64 * KIB);
    let log = context.log(Shape::DEFAULT);
    let memory = context.log_in_memory(Shape::DEFAULT);
    let batch_len = batch_len(context, &log, &load);
    let mut comparison = Comparison::new(context);
    for method in Method::ALL {
        comparison = comparison.enter_bare(method, batch_len);
    }
    let runs = comparison
        .enter_log(IN_MEMORY, memory.as_ref(), load.clone())
        .enter_log(ON_DISK, Some(&log), load.clone())
        .run();
    let outcome = judge(&runs, batch_len);
    log.close(&context.runtime);
    if let Some(memory) = memory {
        memory.close(&context.runtime);
    }
    outcome
}

/// The bytes that the log writes at once under this load, in whole pages, for the bare methods.
fn batch_len(context: &BenchContext, log: &Log, load: &Load) -> usize {
    let slice = log.run(&context.runtime, load, context.slice);
    let mean = slice.work.written_bytes / slice.work.batches.max(1);
    let pages = (mean + PAGE as u64 / 2) / PAGE as u64;
    usize::try_from(pages).expect("a batch fits memory").max(1) * PAGE
}

fn judge(runs: &Runs, batch_len: usize) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.aim(
        "bandwidth by the best bare method of the round",
        Unit::Ratio,
        by_the_best(runs),
        AtLeast(0.6),
    );
    for name in Method::ALL
        .map(Method::name)
        .into_iter()
        .chain([IN_MEMORY, ON_DISK])
    {
        if runs.of(name).is_some() {
            let each = runs.each(name, Slice::bandwidth);
            outcome.show(format!("{name}: bandwidth"), Unit::BytesPerSecond, each);
        }
    }
    outcome.show("tidewal: p50", Unit::Time, runs.each(ON_DISK, Slice::p50));
    let p99 = runs.each(ON_DISK, Slice::p99);
    outcome.aim("tidewal: p99", Unit::Time, p99, AtMost(3e-3));
    outcome.show(
        "tidewal: bytes at once",
        Unit::Bytes,
        runs.each(ON_DISK, |slice| {
            slice.work.written_bytes as f64 / slice.work.batches.max(1) as f64
        }),
    );
    let batch = Unit::Bytes.text(batch_len as f64);
    outcome.note(format!("The bare methods write {batch} at once."));
    outcome
}

fn by_the_best(runs: &Runs) -> Option<Vec<f64>> {
    let log = runs.each(ON_DISK, Slice::bandwidth)?;
    let bare: Vec<_> = Method::ALL
        .iter()
        .filter_map(|method| runs.each(method.name(), Slice::bandwidth))
        .collect();
    let best = |round: usize| bare.iter().map(|each| each[round]).fold(0.0, f64::max);
    let by_best = |(round, bandwidth): (usize, f64)| bandwidth / best(round);
    Some(log.into_iter().enumerate().map(by_best).collect())
}
