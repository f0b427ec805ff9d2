//! What the tests of the workspace share: virtual time and small options in [`support`], workloads,
//! the oracle and the campaigns in [`harness`]. It is not published.

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
