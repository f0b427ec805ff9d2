//! `tidewal archive` and `tidewal restore`

pub mod args;
mod directory;
mod failure;
mod prune;
mod restore;
mod ship;
mod show;
mod store;

use std::process::ExitCode;

use crate::archive::args::{Archive, Restore, Task};
use crate::failure::Failure;

pub fn run(args: &Archive) -> Result<ExitCode, Failure> {
    match &args.task {
        Task::Ship(args) => ship::run(args),
        Task::Show(args) => show::run(args),
        Task::Verify(args) => show::verify(args),
        Task::Prune(args) => prune::run(args),
    }
}

pub fn restore(args: &Restore) -> Result<ExitCode, Failure> {
    restore::run(args)
}
