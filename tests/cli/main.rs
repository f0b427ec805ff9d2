//! The command `tidewal`, through its binary, as a shell uses it.

#![cfg(all(feature = "cli", unix))]

#[cfg(feature = "cli-archive")]
#[path = "../support/s3.rs"]
mod server;

mod append;
#[cfg(feature = "cli-archive")]
mod archive;
mod bench;
mod damaged;
mod dump;
mod helpers;
mod inspect;
mod locked;
mod manual;
