//! For openraft 0.10, with its feature `serde`.
//!
//! openraft 0.10 is a pre-release, and this crate needs one exact version of it: use the same
//! version in your `Cargo.toml`.
//!
//! Any number of appends can be in flight. The entries of a leader that serves many clients share
//! syncs, so its throughput is not bounded by the number of syncs per second.

mod log;
mod logs;
mod reader;
mod types;

pub use self::log::RaftLog;
pub use self::logs::RaftLogs;
pub use self::reader::LogReader;
#[cfg(all(test, feature = "v0_9", feature = "v0_10"))]
pub(crate) use self::types::Raft;
