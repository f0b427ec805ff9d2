//! For openraft 0.9, with its features `serde` and `storage-v2`.
//!
//! openraft 0.9 waits for the callback of one append before it makes the next, and a leader appends
//! each client's write separately. So a leader needs one sync per write, and handles at most as
//! many writes per second as its disk does syncs, however many clients there are. A service that
//! needs more puts several commands into one entry, or moves to [0.10](crate#versions). (Followers
//! append all entries of one message together.)
//!
//! # Examples
//!
//! The logs of many raft groups:
//!
//! ```
//! use tidewal_openraft::v0_9::RaftLogs;
//!
//! # use openraft09 as openraft;
//! # use std::io::Cursor;
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
mod types;

pub use self::types::V0_9;

/// The log of a node with the configuration `C`.
///
/// See [`RaftLog`](crate::RaftLog) for its methods.
pub type RaftLog<C> = crate::log::RaftLog<V0_9<C>>;

/// The logs of many raft groups with the configuration `C`.
///
/// See [`RaftLogs`](crate::RaftLogs) for its methods.
pub type RaftLogs<C> = crate::logs::RaftLogs<V0_9<C>>;

/// A reader of the entries of a log.
///
/// See [`LogReader`](crate::LogReader) for its methods.
pub type LogReader<C> = crate::reader::LogReader<V0_9<C>>;
