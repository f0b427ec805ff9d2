//! Shared by the tests of the workspace. Not published.
//!
//! - [`support`]: virtual time and small options.
//! - [`harness`]: workloads, the oracle and the campaigns on the simulated disk.
//! - [`kill`]: a process on a real disk that is killed, and the promises that it got.
//! - [`file_systems`]: file systems that are mounted for a test.
//! - [`cases`]: what the fuzz targets do with their input, and readers written from `docs/format.md`.

#![allow(
    clippy::len_without_is_empty,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    reason = "a test that panics has done its work, and the API is that of a test file"
)]

pub mod cases;
pub mod file_systems;
pub mod harness;
pub mod kill;
pub mod support;
