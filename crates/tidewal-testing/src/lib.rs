//! Shared by the tests of the workspace: virtual time and small options in [`support`], and
//! workloads, the oracle and the campaigns in [`harness`]. Not published.

#![allow(
    clippy::len_without_is_empty,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    reason = "a test that panics has done its work, and the API is that of a test file"
)]

pub mod harness;
pub mod support;
