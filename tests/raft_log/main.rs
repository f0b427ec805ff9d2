//! The log of an openraft node (feature `openraft`).

#[path = "../harness/dice.rs"]
mod dice;
mod flushed;
mod machine;
mod model;
mod random;
mod reopened;
mod suite;
#[path = "../support/mod.rs"]
mod support;
