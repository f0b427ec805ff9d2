//! Shared by the tests on real disks: a process that appends from many producers and is killed
//! ([`child`], [`process`]), its appends ([`ops`]), and the promises that it got ([`history`]).
//!
//! All random choices come from a seed that is printed. The order of events depends on the machine,
//! so the same seed gives a similar run, not the same one.

pub mod campaign;
pub mod child;
mod environment;
pub mod history;
pub mod ops;
pub mod process;
mod random;

pub use environment::{block_on, number, read, seed};
pub use random::Random;
