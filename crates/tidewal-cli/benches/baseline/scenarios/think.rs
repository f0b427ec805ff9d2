//! Producers that do something between their appends. The log lingers for producers that it has
//! just answered. Producers that do not come back at once must not pay for that.

use std::time::Duration;

use crate::measure::bare::Method;
use crate::measure::comparison::{Comparison, Runs};
use crate::measure::config::Scale;
use crate::measure::context::BenchContext;
use crate::measure::figures::{Outcome, Row, Series, Table, Unit};
use crate::measure::load::{Load, Think};
use crate::measure::log::Shape;
use crate::measure::report::thousands;
use crate::measure::slice::Slice;
use crate::measure::{SMALL, SMALL_RECORD};

pub fn run(context: &BenchContext) -> Outcome {
    let log = context.log(Shape::DEFAULT);
    let mut comparison = Comparison::new(context).enter_bare(Method::BASELINE, SMALL_RECORD);
    for (think, producers) in cells(context.scale) {
        let load = Load {
            think,
            ..Load::new(producers, SMALL)
        };
        comparison = comparison.enter_log(name(think, producers), Some(&log), load);
    }
    let runs = comparison.run();
    log.close(&context.runtime);
    let baseline = Method::BASELINE.name();
    let mut outcome = Outcome::default();
    outcome.show(
        format!("{baseline}: p50"),
        Unit::Time,
        runs.each(baseline, Slice::p50),
    );
    outcome.tables = THINKS
        .map(|think| table(&runs, think, context.scale))
        .into();
    outcome
}

fn table(runs: &Runs, think: Think, scale: Scale) -> Table {
    let columns = [
        "appends/s",
        "p50",
        "p50 relative to write + fdatasync",
        "p99",
        "per sync",
    ];
    let cells = cells(scale).filter(|&(other, _)| other == think);
    Table {
        title: format!("Between two appends: {}", think.name()),
        columns: columns.map(str::to_owned).into(),
        rows: cells
            .map(|(think, producers)| row(runs, think, producers))
            .collect(),
        spread: true,
    }
}

fn row(runs: &Runs, think: Think, producers: usize) -> Row {
    let name = name(think, producers);
    let by_baseline = |log: &Slice, baseline: &Slice| log.p50() / baseline.p50();
    let series = |unit, rounds: Option<Vec<f64>>| Series {
        unit,
        rounds: rounds.expect("all of these were run"),
    };
    Row {
        cells: vec![
            series(Unit::PerSecond, runs.each(&name, Slice::rate)),
            series(Unit::Time, runs.each(&name, Slice::p50)),
            series(
                Unit::Ratio,
                runs.ratio(&name, Method::BASELINE.name(), by_baseline),
            ),
            series(Unit::Time, runs.each(&name, Slice::p99)),
            series(Unit::Count, runs.each(&name, Slice::per_sync)),
        ],
        name: thousands(producers as u64),
    }
}

fn cells(scale: Scale) -> impl Iterator<Item = (Think, usize)> {
    let producers: &[usize] = scale.or_in_test(&[1, 2, 4, 16, 64, 1024], &[1, 16]);
    THINKS
        .into_iter()
        .flat_map(|think| producers.iter().map(move |&producers| (think, producers)))
}

fn name(think: Think, producers: usize) -> String {
    format!("{producers} producers, pause: {}", think.name())
}

const THINKS: [Think; 3] = [
    Think::Not,
    Think::Work(Duration::from_micros(50)),
    Think::Sleep(Duration::from_millis(1)),
];
