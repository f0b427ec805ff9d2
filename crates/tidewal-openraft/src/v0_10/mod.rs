//! For openraft 0.10, with its feature `serde`.
//!
//! It is a pre-release, and this crate is built for exactly one of them: name that one in your
//! `Cargo.toml` too.
//!
//! Any number of appends are in flight: a leader that serves many clients has its entries share syncs,
//! and its throughput is not bounded by the syncs that its disk does in a second.

mod log;
mod logs;
mod reader;
mod types;

pub use self::log::RaftLog;
pub use self::logs::RaftLogs;
pub use self::reader::LogReader;
#[cfg(all(test, feature = "v0_9", feature = "v0_10"))]
pub(crate) use self::types::Raft;
