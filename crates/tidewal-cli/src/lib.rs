//! Measures a log beside the bare disk, for the command `tidewal bench` and the benchmark
//! `baseline` of this package. This is not a public API, and may change with every version.

#![allow(
    clippy::cast_precision_loss,
    reason = "figures are shown with three digits"
)]
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::new_without_default,
    reason = "it is for the programs of this package"
)]

pub mod measure;
