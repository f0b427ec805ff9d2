//! `tidewal bench`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
#[cfg(unix)]
use std::thread;

use crate::args::Args;
use crate::display::{columns, count};
use crate::failure::Failure;
use crate::measure::config::Scale;
use crate::measure::context::BenchContext;
use crate::measure::figures::{Outcome, Point, Sweep, Unit};
use crate::measure::machine::{self, Setting};
use crate::measure::report::{self, thousands};
use crate::measure::scratch::{MIB, scratch_in};
use crate::measure::{Scenario, intervals, plot};
use crate::output::Out;

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    check(args)?;
    let cannot_start = |error| {
        Failure::Other(
            format!("cannot listen for Ctrl-C: {error}"),
            "see how many files may be open, with `ulimit -n`".into(),
        )
    };
    let interrupt = Interrupt::listen().map_err(cannot_start)?;
    // One directory for everything that is written, so it can be removed at any time.
    let scratch = scratch_in(&args.dir);
    interrupt.then_remove(scratch.path().to_owned());
    let context = BenchContext::new(args.config(scratch.path()), 1);
    let setting = machine::describe(&context);
    context.announce("measuring");
    let outcome = (INTERVALS.run)(&context);
    context.progress.finish_and_clear();
    let sweep = outcome.sweep.as_ref().expect("the scenario is a sweep");
    if let Some(file) = &args.plot {
        plot::draw(file, sweep, &setting).map_err(|error| cannot_write(file, &error))?;
    }
    let mut out = Out::new();
    match args.json {
        true => show_json(&mut out, &setting, &context, outcome)?,
        false => show(&mut out, args, &setting, sweep)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for the user to press Ctrl-C.
#[cfg(unix)]
struct Interrupt {
    runtime: tokio::runtime::Runtime,
    signal: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Interrupt {
    /// From now on Ctrl-C does not end the process.
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let signal = {
            let _entered = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        Ok(Self { runtime, signal })
    }

    /// On Ctrl-C, removes the directory, while other threads may still write to it, and ends the
    /// process.
    fn then_remove(mut self, dir: PathBuf) {
        thread::spawn(move || {
            self.runtime.block_on(self.signal.recv());
            let _none_is_made = crate::measure::scratch::making();
            let is_gone = |_: &i32| fs::remove_dir_all(&dir).is_ok() || !dir.exists();
            (0..REMOVALS_MAX).find(is_gone);
            std::process::exit(INTERRUPTED);
        });
    }
}

#[cfg(not(unix))]
struct Interrupt;

#[cfg(not(unix))]
impl Interrupt {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    fn then_remove(self, _: PathBuf) {}
}

#[cfg(unix)]
const REMOVALS_MAX: i32 = 1000;

/// The exit status that shells use for an interrupted process.
#[cfg(unix)]
const INTERRUPTED: i32 = 130;

/// Checks, before anything is measured, what would otherwise fail late.
fn check(args: &Args) -> Result<(), Failure> {
    let dir = args.dir.as_path();
    let writable = tempfile::tempfile_in(dir);
    writable.map_err(|error| {
        Failure::Other(
            format!("cannot write in {}: {error}", dir.display()),
            "name a directory on the disk to be measured with --dir".into(),
        )
    })?;
    let needed = match args.scale() {
        Scale::Full => 1400 * MIB,
        Scale::Quick => 800 * MIB,
        Scale::Test => 50 * MIB,
    };
    if free_space(dir).is_some_and(|free| free < needed as u64) {
        return Err(Failure::Other(
            format!(
                "{} has less free space than the {} MiB that the measurement needs",
                dir.display(),
                needed / MIB
            ),
            "free space, or name another directory with --dir".into(),
        ));
    }
    match &args.plot {
        Some(file) => fs::write(file, "").map_err(|error| cannot_write(file, &error)),
        None => Ok(()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn free_space(dir: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(dir).ok()?;
    Some(room.f_bavail * room.f_frsize)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn free_space(_: &Path) -> Option<u64> {
    None
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Other(
        format!("cannot write {}: {error}", file.display()),
        "name a file that can be written with --plot".into(),
    )
}

fn show(out: &mut Out, args: &Args, setting: &Setting, sweep: &Sweep) -> Result<(), Failure> {
    let paint = out.paint;
    for (name, value) in &setting.facts {
        out.line(&format!("{} {value}", paint.faint(&format!("{name:16}"))))?;
    }
    for warning in &setting.warnings {
        out.line(&format!("{} {warning}", paint.bad("warning:")))?;
    }
    let baseline = point(&sweep.baseline);
    out.line(&format!(
        "{} {baseline}\n",
        paint.faint("One bare write + fdatasync:")
    ))?;
    for (index, line) in columns(&table(sweep)).iter().enumerate() {
        out.line(&if index == 0 {
            paint.strong(line)
        } else {
            line.clone()
        })?;
    }
    if let Some(file) = &args.plot {
        out.line(&format!("\nplot written to {}", file.display()))?;
    }
    if args.scale() == Scale::Test {
        out.line("\nThis run only checks that the command works: its figures and its answer mean nothing.")?;
    }
    out.line(&format!("\n{}", paint.strong(&answer(sweep))))
}

/// Appends per second, p50 and p99.
fn point(point: &Point) -> String {
    format!(
        "{}, p50 {}, p99 {}",
        Unit::PerSecond.text(point.rate),
        Unit::Time.text(point.p50),
        Unit::Time.text(point.p99)
    )
}

/// One row per interval, and one column per number of producers.
fn table(sweep: &Sweep) -> Vec<Vec<String>> {
    let name = |line: &crate::measure::figures::Line| match line.producers {
        1 => "1 producer".into(),
        many => format!("{} producers", thousands(many as u64)),
    };
    let header = std::iter::once("interval".to_owned()).chain(sweep.lines.iter().map(name));
    let rows = sweep.intervals.iter().enumerate().map(|(index, interval)| {
        let cells = sweep.lines.iter().map(|line| point(&line.points[index]));
        std::iter::once(interval_name(*interval))
            .chain(cells)
            .collect()
    });
    std::iter::once(header.collect()).chain(rows).collect()
}

fn interval_name(interval: Option<f64>) -> String {
    interval.map_or_else(|| "none".into(), |millis| format!("{millis} ms"))
}

/// Which interval to use, in one sentence.
fn answer(sweep: &Sweep) -> String {
    let gains: Vec<_> = sweep
        .lines
        .iter()
        .filter_map(|line| gain(sweep, line))
        .collect();
    let Some(best) = gains
        .iter()
        .max_by(|one, other| one.factor.total_cmp(&other.factor))
    else {
        return "Use no interval here (SyncPolicy::Always, the default): with any number of producers \
                no interval made 10 % more appends per second."
            .into();
    };
    let from = match gains[0].producers {
        1 => String::new(),
        many => format!(
            " if {} or more tasks append at once",
            thousands(many as u64)
        ),
    };
    let otherwise = if from.is_empty() {
        ""
    } else {
        " With fewer, use none (SyncPolicy::Always, the default)."
    };
    format!(
        "Use an interval of {} here{from}: with {} it made {:.0} % more appends per second than none, \
         with a p99 of {} instead of {}.{otherwise}",
        interval_name(Some(best.millis)),
        count(best.producers as u64, "producer"),
        (best.factor - 1.0) * 100.0,
        Unit::Time.text(best.p99),
        Unit::Time.text(best.p99_without)
    )
}

/// The gain from an interval for a number of producers, if there is one.
struct Gain {
    producers: usize,
    millis: f64,
    factor: f64,
    p99: f64,
    p99_without: f64,
}

fn gain(sweep: &Sweep, line: &crate::measure::figures::Line) -> Option<Gain> {
    let points = || sweep.intervals.iter().zip(&line.points);
    let (_, without) = points().find(|(interval, _)| interval.is_none())?;
    let with = points().filter_map(|(interval, point)| Some(((*interval)?, point)));
    let best = with
        .clone()
        .map(|(_, point)| point.rate)
        .fold(0.0, f64::max);
    // The shortest interval that is as good as the best one: a longer one only makes callers wait.
    let (millis, point) = with
        .into_iter()
        .find(|(_, point)| point.rate >= best * AS_GOOD)?;
    let factor = point.rate / without.rate;
    (factor >= WORTHWHILE).then_some(Gain {
        producers: line.producers,
        millis,
        factor,
        p99: point.p99,
        p99_without: without.p99,
    })
}

fn show_json(
    out: &mut Out,
    setting: &Setting,
    context: &BenchContext,
    outcome: Outcome,
) -> Result<(), Failure> {
    let answer = outcome.sweep.as_ref().map(answer).unwrap_or_default();
    let text = report::json(setting, context, &[(&INTERVALS, outcome)]);
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("it was made as JSON");
    json["answer"] = answer.into();
    out.line(&format!("{json:#}"))
}

/// A smaller gain is within the difference between two runs.
const WORTHWHILE: f64 = 1.10;
const AS_GOOD: f64 = 0.95;

const INTERVALS: Scenario = Scenario {
    name: "intervals",
    title: "throughput and latency against the fsync interval, 100 B",
    run: intervals::run,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::figures::Line;

    fn sweep(rates: [[f64; 3]; 2]) -> Sweep {
        let point = |rate: f64| Point {
            rate,
            syncs: 0.0,
            p50: 1e-3,
            p99: 2e-3,
        };
        let line = |producers, rates: [f64; 3]| Line {
            producers,
            points: rates.into_iter().map(point).collect(),
        };
        Sweep {
            intervals: vec![None, Some(1.0), Some(10.0)],
            lines: vec![line(1, rates[0]), line(64, rates[1])],
            baseline: point(1000.0),
        }
    }

    #[test]
    fn no_interval_is_the_answer_unless_one_brings_something() {
        let said = answer(&sweep([[1000.0, 500.0, 90.0], [9000.0, 9500.0, 6000.0]]));
        assert!(said.starts_with("Use no interval here"), "{said}");
    }

    #[test]
    fn the_shortest_interval_that_is_as_good_as_the_best_is_the_answer() {
        let said = answer(&sweep([
            [1000.0, 500.0, 90.0],
            [9000.0, 17_600.0, 18_000.0],
        ]));
        assert!(
            said.contains("an interval of 1 ms here if 64 or more tasks"),
            "{said}"
        );
        assert!(said.contains("96 % more"), "{said}");
    }
}
