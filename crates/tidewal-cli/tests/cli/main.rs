//! The command `tidewal`, through its binary, as a shell uses it.

#![cfg(unix)]

#[cfg(feature = "archive")]
mod archive_server;
#[cfg(feature = "archive")]
mod server;

mod append;
#[cfg(feature = "archive")]
mod archive;
mod bench;
mod damaged;
mod dump;
mod failing_calls;
mod helpers;
mod hints;
mod inspect;
mod locked;
mod manual;
#[cfg(target_os = "linux")]
mod memory;
mod odd_files;
mod raft_logs;
