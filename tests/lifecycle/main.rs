//! The life of a log: closed, dropped, left behind by its runtime, recovered, rotated, truncated.

#[path = "../support/mod.rs"]
mod support;

mod closing;
mod cuts;
mod helpers;
mod recovery;
mod runtimes;
mod segments;
