//! Measures how close the log comes to the limit of your disk:
//!
//! ```sh
//! cargo bench -p tidewal-cli --bench baseline
//! cargo bench -p tidewal-cli --bench baseline -- s1 s3 --rounds 7 --seconds 1 --dir /mnt/data
//! ```
//!
//! Everything is measured in one run, and the methods alternate: a round is a short slice of each method, and
//! the next round begins with another method. Methods are compared within a round, so a machine that is slow
//! for a minute is slow for all. The output has the median, the minimum and the maximum over the rounds. The
//! methods are the bare disk (one thread that writes and syncs, into a file of which every byte was written
//! before), the log on a memory file system (its cost without a disk), and the log on the disk as after a
//! service's first minutes: in segments that were written before, with a spare one ready.
//!
//! The latency is the time of an append as its caller sees it. Producers append again only when
//! they have their answer, so it holds for a producer under this load. Callers that arrive on their
//! own schedule would also wait for the callers before them.
//!
//! `docs/benchmarks.md` has the scenarios, their targets, and figures.

#![expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with three digits"
)]

mod args;
mod cargo;
mod scenarios;

use std::alloc::System;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use tidewal_cli::measure;

use crate::args::Args;
use crate::measure::config::Scale;
use crate::measure::context::BenchContext;
use crate::measure::figures::{Outcome, Sweep};
use crate::measure::machine::{self, Setting};
use crate::measure::{Scenario, plot, report};
use crate::scenarios::{ALL, PLOTTED, memory};

/// Counts allocations for S10, in counters per thread. It adds about two nanoseconds to an
/// allocation.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<System> = alloc_tracker::Allocator::system();

fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        ALL.iter()
            .for_each(|scenario| println!("{:6} {}", scenario.name, scenario.title));
        return ExitCode::SUCCESS;
    }
    if let Some(probe) = args.memory_probe {
        memory::run_probe(&BenchContext::new(args.config(), 0), probe);
        return ExitCode::SUCCESS;
    }
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("baseline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> io::Result<()> {
    let chosen = choose(&args.scenarios);
    if args.plot.is_some() && !chosen.iter().any(|scenario| scenario.name == PLOTTED) {
        return Err(io::Error::other("--plot needs the scenario s9"));
    }
    if chosen.is_empty() {
        return Ok(());
    }
    let context = BenchContext::new(args.config(), chosen.len());
    let mut setting = machine::describe(&context);
    machine::describe_memory(&context, &mut setting);
    context.say(&report::setting(&setting, &context));
    let mut outcomes = Vec::new();
    for scenario in chosen {
        context.announce(scenario.name);
        let outcome = (scenario.run)(&context);
        context.say(&report::outcome(scenario, &outcome));
        outcomes.push((scenario, outcome));
    }
    context.progress.finish_and_clear();
    context.say(&report::verdict(&outcomes));
    if context.scale == Scale::Test {
        return rehearse(&setting, &context, &outcomes);
    }
    if let Some(path) = &args.json {
        std::fs::write(path, report::json(&setting, &context, &outcomes))?;
    }
    if let (Some(path), Some(sweep)) = (&args.plot, sweep(&outcomes)) {
        plot::draw(path, sweep, &setting)?;
    }
    Ok(())
}

/// A test also writes the output files, and shows no figures, because they mean nothing.
fn rehearse(
    setting: &Setting,
    context: &BenchContext,
    outcomes: &[(&'static Scenario, Outcome)],
) -> io::Result<()> {
    let dir = context.scratch();
    std::fs::write(
        dir.path().join("baseline.json"),
        report::json(setting, context, outcomes),
    )?;
    if let Some(sweep) = sweep(outcomes) {
        plot::draw(&dir.path().join("baseline.svg"), sweep, setting)?;
    }
    println!("baseline: {} scenarios ran", outcomes.len());
    Ok(())
}

fn sweep<'a>(outcomes: &'a [(&'static Scenario, Outcome)]) -> Option<&'a Sweep> {
    outcomes
        .iter()
        .find_map(|(_, outcome)| outcome.sweep.as_ref())
}

/// The requested scenarios, in their order.
///
/// `cargo bench` passes its filters to every benchmark, so an unknown name is not an error.
fn choose(names: &[String]) -> Vec<&'static Scenario> {
    let is = |scenario: &Scenario, name: &String| scenario.name.eq_ignore_ascii_case(name);
    let known = |name: &&String| ALL.iter().any(|scenario| is(scenario, name));
    for name in names.iter().filter(|name| !known(name)) {
        eprintln!("baseline: there is no scenario {name}; --list shows them");
    }
    let wanted = |scenario: &&Scenario| names.iter().any(|name| is(scenario, name));
    ALL.iter()
        .filter(|scenario| names.is_empty() || wanted(scenario))
        .collect()
}
