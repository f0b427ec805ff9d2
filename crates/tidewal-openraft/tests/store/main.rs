//! The log of an openraft node. `shared` holds the tests that both versions of openraft pass, each
//! compiled with the types of a version, which its `api.rs` names.

#![allow(
    clippy::duplicate_mod,
    reason = "the files in `shared` are compiled for each version"
)]

#[cfg(all(feature = "v0_9", feature = "v0_10"))]
mod crossed;
#[cfg(any(feature = "v0_9", feature = "v0_10"))]
mod model;
#[cfg(any(feature = "v0_9", feature = "v0_10"))]
mod story;
#[cfg(feature = "v0_10")]
mod v0_10;
#[cfg(feature = "v0_9")]
mod v0_9;

#[cfg(any(feature = "v0_9", feature = "v0_10"))]
use tidewal_testing::{
    harness::{number, rng},
    support,
};
