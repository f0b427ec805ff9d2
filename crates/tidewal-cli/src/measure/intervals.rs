//! S9: the fsync interval, from none to long, and producers from one to many.

use std::time::Duration;

use tidewal::SyncPolicy;

use crate::measure::bare::Method;
use crate::measure::comparison::{Comparison, Runs};
use crate::measure::config::Scale;
use crate::measure::context::BenchContext;
use crate::measure::figures::{Line, Outcome, Point, Row, Series, Sweep, Table, Unit};
use crate::measure::load::Load;
use crate::measure::log::{Log, Shape};
use crate::measure::report::thousands;
use crate::measure::scratch::MIB;
use crate::measure::slice::Slice;
use crate::measure::{SMALL, SMALL_RECORD};

pub fn run(context: &BenchContext) -> Outcome {
    let axes = SweepAxes::of(context.scale);
    let logs: Vec<Log> = axes
        .policies
        .iter()
        .map(|&policy| open(context, policy))
        .collect();
    let mut comparison = Comparison::new(context).enter_bare(Method::BASELINE, SMALL_RECORD);
    for (&policy, log) in axes.policies.iter().zip(&logs) {
        for &producers in &axes.producers {
            let (load, time) = (Load::new(producers, SMALL), slice_of(context, policy));
            comparison = comparison.enter_log_for(cell(policy, producers), Some(log), load, time);
        }
    }
    let runs = comparison.run();
    logs.into_iter().for_each(|log| log.close(&context.runtime));
    axes.sum_up(&runs)
}

/// Many logs are open at once, so the segments are smaller than usual to take less of the disk.
fn open(context: &BenchContext, policy: SyncPolicy) -> Log {
    context.log(Shape {
        policy,
        segment_len: 32 * MIB,
        ..Shape::DEFAULT
    })
}

/// The time for one of many cells: long enough for a few syncs.
fn slice_of(context: &BenchContext, policy: SyncPolicy) -> Duration {
    let syncs = match context.scale {
        Scale::Full => 10,
        Scale::Quick => 2,
        Scale::Test => 1,
    };
    let shortest = context.slice / 2;
    match policy {
        SyncPolicy::Interval(interval) => shortest.max(interval * syncs),
        _ => shortest,
    }
}

/// The values that are varied: one log for each policy, one load for each number of producers.
struct SweepAxes {
    policies: Vec<SyncPolicy>,
    producers: Vec<usize>,
}

impl SweepAxes {
    fn of(scale: Scale) -> Self {
        let (micros, producers): (&[u64], &[usize]) = match scale {
            Scale::Full => (
                &[
                    200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
                ],
                &[1, 4, 16, 64, 256, 1024],
            ),
            Scale::Quick => (&[200, 1_000, 10_000, 100_000], &[1, 16, 256, 1024]),
            Scale::Test => (&[500, 5_000], &[1, 16]),
        };
        let intervals = micros.iter().copied().map(Duration::from_micros);
        let intervals = intervals.map(SyncPolicy::Interval);
        Self {
            policies: std::iter::once(SyncPolicy::Always)
                .chain(intervals)
                .collect(),
            producers: producers.to_vec(),
        }
    }

    fn sum_up(&self, runs: &Runs) -> Outcome {
        let mut outcome = Outcome::default();
        let baseline = Method::BASELINE.name();
        outcome.show(
            format!("{baseline}: p50"),
            Unit::Time,
            runs.each(baseline, Slice::p50),
        );
        outcome.show(
            format!("{baseline}: p99"),
            Unit::Time,
            runs.each(baseline, Slice::p99),
        );
        outcome.tables = vec![
            self.table(runs, "Durable appends/s", Unit::PerSecond, Slice::rate),
            self.table(runs, "p50", Unit::Time, Slice::p50),
            self.table(runs, "p99", Unit::Time, Slice::p99),
            self.table(runs, "Syncs/s", Unit::PerSecond, Slice::syncs_per_second),
        ];
        outcome.sweep = Some(self.sweep(runs));
        outcome
    }

    fn table(
        &self,
        runs: &Runs,
        what: &str,
        unit: Unit,
        figure: impl Fn(&Slice) -> f64 + Copy,
    ) -> Table {
        let row = |&policy: &SyncPolicy| Row {
            name: policy_name(policy),
            cells: self.row(policy, |name| series(runs, name, unit, figure)),
        };
        Table {
            title: format!("{what}, by interval and number of producers:"),
            columns: self
                .producers
                .iter()
                .map(|&producers| thousands(producers as u64))
                .collect(),
            rows: self.policies.iter().map(row).collect(),
            spread: false,
        }
    }

    fn row<T>(&self, policy: SyncPolicy, of: impl Fn(&str) -> T) -> Vec<T> {
        let names = self
            .producers
            .iter()
            .map(|&producers| cell(policy, producers));
        names.map(|name| of(&name)).collect()
    }

    fn sweep(&self, runs: &Runs) -> Sweep {
        let line = |&producers: &usize| Line {
            producers,
            points: self
                .policies
                .iter()
                .map(|&policy| point(runs, &cell(policy, producers)))
                .collect(),
        };
        Sweep {
            intervals: self.policies.iter().copied().map(millis).collect(),
            lines: self.producers.iter().map(line).collect(),
            baseline: point(runs, Method::BASELINE.name()),
        }
    }
}

fn point(runs: &Runs, name: &str) -> Point {
    let median = |figure: fn(&Slice) -> f64| series(runs, name, Unit::Count, figure).median();
    Point {
        rate: median(Slice::rate),
        syncs: median(Slice::syncs_per_second),
        p50: median(Slice::p50),
        p99: median(Slice::p99),
    }
}

fn series(runs: &Runs, name: &str, unit: Unit, figure: impl Fn(&Slice) -> f64) -> Series {
    let rounds = runs.each(name, figure).expect("all of these were run");
    Series { unit, rounds }
}

fn cell(policy: SyncPolicy, producers: usize) -> String {
    format!("{}, {producers} producers", policy_name(policy))
}

fn policy_name(policy: SyncPolicy) -> String {
    millis(policy).map_or_else(|| "Always".into(), |millis| format!("{millis} ms"))
}

fn millis(policy: SyncPolicy) -> Option<f64> {
    match policy {
        SyncPolicy::Interval(interval) => Some(interval.as_secs_f64() * 1e3),
        _ => None,
    }
}
