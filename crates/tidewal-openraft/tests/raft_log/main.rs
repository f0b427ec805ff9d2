//! The log of an openraft node.

mod cancel;
mod contract;
mod failures;
mod flushed;
mod machine;
mod model;
mod random;
mod reopened;
mod suite;

use tidewal_testing::{harness::rng, support};
