//! The log of an openraft node (feature `openraft`).

mod cancel;
mod contract;
#[path = "../harness/dice.rs"]
mod dice;
mod failures;
mod flushed;
mod machine;
mod model;
mod random;
mod reopened;
mod suite;
#[path = "../support/mod.rs"]
mod support;
