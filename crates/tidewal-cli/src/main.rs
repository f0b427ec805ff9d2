//! The command `tidewal`: inspects a log, repairs it, uses it from a shell, and measures a disk.
//!
//! It uses only the public names of the library. `docs/command.md` shows each command with its
//! output. The code that `bench` measures with is in the library of this package.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]
#![allow(
    clippy::cast_precision_loss,
    reason = "figures are shown with three digits"
)]

mod append;
#[cfg(feature = "archive")]
mod archive;
mod args;
mod bench;
mod cli;
mod display;
mod dump;
mod failure;
mod findings;
mod input;
mod inspect;
mod json;
mod manual;
mod output;
mod payload;
mod raft;
mod repair;
mod values;
mod verify;
mod wait;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tidewal_cli::measure;

use crate::cli::{Cli, Task};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let dir = cli.task.log_dir().map(Path::to_owned);
    match run(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(dir.as_deref()),
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.task {
        Task::Inspect(args) => inspect::run(&args),
        Task::Dump(args) => dump::run(&args),
        Task::Verify(args) => verify::run(&args),
        Task::Repair(args) => repair::run(&args),
        Task::Append(args) => append::run(&args),
        #[cfg(feature = "archive")]
        Task::Archive(args) => archive::run(&args),
        #[cfg(feature = "archive")]
        Task::Restore(args) => archive::restore(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Completions(args) => manual::completions(&args, Cli::command()),
        Task::Man(args) => manual::man(&args, Cli::command()),
    }
}
