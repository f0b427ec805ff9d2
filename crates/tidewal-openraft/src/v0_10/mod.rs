//! For openraft 0.10, with its feature `serde`.
//!
//! openraft 0.10 is a pre-release, and this crate needs one exact version of it: use the same
//! version in your `Cargo.toml`.
//!
//! Any number of appends can be in flight. The entries of a leader that serves many clients share
//! syncs, so its throughput is not bounded by the number of syncs per second.
//!
//! # Examples
//!
//! The logs of many raft groups:
//!
//! ```
//! use tidewal_openraft::v0_10::RaftLogs;
//!
//! # openraft::declare_raft_types!(pub Types: D = String, R = ());
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let logs = RaftLogs::<Types>::open(dir).await?;
//! for group in 0..100 {
//!     let log = logs.open_group(group)?; // goes to `Raft::new`
//! }
//! assert_eq!(logs.groups().len(), 100);
//! logs.remove_group(7).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod storage;
mod stream;
mod types;

pub use self::types::V0_10;

/// The log of a node with the configuration `C`.
///
/// See [`RaftLog`](crate::RaftLog) for its methods.
pub type RaftLog<C> = crate::log::RaftLog<V0_10<C>>;

/// The logs of many raft groups with the configuration `C`.
///
/// See [`RaftLogs`](crate::RaftLogs) for its methods.
pub type RaftLogs<C> = crate::logs::RaftLogs<V0_10<C>>;

/// A reader of the entries of a log.
///
/// See [`LogReader`](crate::LogReader) for its methods.
pub type LogReader<C> = crate::reader::LogReader<V0_10<C>>;
