//! How near the log comes to the disk's own limit, on the disk of whoever runs it:
//!
//! ```sh
//! cargo bench -p tidewal-cli --bench baseline
//! cargo bench -p tidewal-cli --bench baseline -- s1 s3 --rounds 7 --seconds 1 --dir /mnt/data
//! ```
//!
//! Everything is measured in one run and in turns: a round is a short slice of each method, and the
//! next round begins with another method. What is compared is compared within a round, so that a
//! machine that is slow for a minute is slow for all; what is printed is the median of the rounds, and
//! the smallest and the largest. The methods are the bare disk (one thread, a write and a sync, into a
//! file of which every byte was written before), the log on a memory file system (what it costs
//! without a disk), and the log on the disk, as a service has it after its first minutes: in segments
//! that were written before, with a spare one ready.
//!
//! A wait is what one append took as its caller saw it. Producers append again only when they have
//! their answer, so that it is the wait of a producer under that load, and says nothing about
//! callers who arrive at times of their own (who would also wait for those before them).
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
use crate::measure::context::BenchContext;
use crate::measure::figures::{Outcome, Sweep};
use crate::measure::machine::{self, Setting};
use crate::measure::plan::Scale;
use crate::measure::{Scenario, plot, report};
use crate::scenarios::{ALL, PLOTTED, memory};

/// Counts, for S10. It adds about two nanoseconds to an allocation, in counters of each thread's own.
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
        memory::run_probe(&BenchContext::new(args.plan(), 0), probe);
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
    let context = BenchContext::new(args.plan(), chosen.len());
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

/// A test writes what nobody asked for, and shows no figures, because they mean nothing.
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

/// The scenarios that were asked for, in their own order.
///
/// `cargo bench` hands its filters to every bench, so that a name which is not one of ours is no error.
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
