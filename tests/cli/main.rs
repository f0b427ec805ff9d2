//! The command `tidewal`, through its binary, as a shell uses it.

#![cfg(all(feature = "cli", unix))]

#[path = "../support/mod.rs"]
mod support;

mod append;
mod bench;
mod damaged;
mod dump;
mod helpers;
mod inspect;
mod locked;
mod manual;
