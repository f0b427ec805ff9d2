//! The log of an [openraft](https://docs.rs/openraft/0.9) node, over one [`Wal`](tidewal::Wal).
//!
//! [`RaftLog`] is a [`RaftLogStorage`](openraft::storage::RaftLogStorage): give it to
//! [`Raft::new`](openraft::Raft::new) beside a state machine. Entries, vote, committed index,
//! truncation and purge are records of one log, whose order is the order of the calls. It is made for
//! openraft 0.9, with its features `serde` and `storage-v2`.
//!
//! # What is durable when
//!
//! | Call | Returns | Durable |
//! |---|---|---|
//! | `append` | once the entries are submitted, and readable | when the callback is called |
//! | `save_vote` | | when it returns |
//! | `truncate`, `purge` | | when it returns |
//! | `save_committed` | once it is submitted | with the next sync, 10 ms later at the latest; raft does not need it |
//!
//! Any number of appends can be in flight; their callbacks are called in the order of the calls. What a
//! restart rebuilds is what a prefix of the calls had made, and that prefix holds every call that was
//! acknowledged.
//!
//! openraft 0.9 itself waits for the callback of one append before it makes the next, and a leader
//! appends each client's write by itself. So a leader does one sync a write, and takes at most as many
//! writes in a second as its disk does syncs, however many clients there are. A service that needs more
//! puts several commands into one entry. (Followers append what comes in one message at once.)
//!
//! # Memory
//!
//! The files are read when the log is opened and never again. Entries that are not purged are served
//! from memory, where each takes its own size and, as an estimate, its encoded size again. What bounds
//! them is your snapshot policy: `snapshot_policy` and `max_in_snapshot_log_to_keep` of
//! [`Config`](openraft::Config). A snapshot lets openraft purge, and a purge gives memory back at once
//! and files as whole segments. [`RaftLogOptions::memory_limit`] is the hard bound behind it: an
//! append beyond it fails, which stops the node before the machine runs out of memory.
//! [`LogReader::held`] says how much is held.
//!
//! # Failures
//!
//! The first record that fails fails the log: that call and every later one get the original cause,
//! and openraft shuts the node down. Nothing that was acknowledged is lost. Open the log again to go
//! on, after a full disk as soon as there is room.
//!
//! A directory whose state cannot be rebuilt is an [`OpenError`], which says what to do.
//!
//! # Options of the log
//!
//! Any [`WalOptions`](tidewal::WalOptions) will do but two: with
//! [`SyncPolicy::Manual`](tidewal::SyncPolicy::Manual) no vote would ever be durable, and with
//! [`start_at`](tidewal::WalOptions::start_at) records are passed over that are needed, which is an
//! error. Each entry is a record, so that its encoding and 10 bytes must fit `max_record_size`.
//!
//! # Examples
//!
//! A log that is opened, given a vote, and opened again. In a service the log goes to `Raft::new`
//! instead (`examples/raft-kv` in the repository).
//!
//! ```
//! use std::io::Cursor;
//!
//! use openraft::storage::RaftLogStorage;
//! use openraft::Vote;
//! use tidewal_openraft::RaftLog;
//!
//! # #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
//! # pub struct Command(String);
//! openraft::declare_raft_types!(
//!     pub Types: D = Command, R = (), SnapshotData = Cursor<Vec<u8>>
//! );
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let mut log = RaftLog::<Types>::open(dir).await?;
//! log.save_vote(&Vote::new(3, 1)).await?;
//! drop(log);
//!
//! let mut log = RaftLog::<Types>::open(dir).await?;
//! assert_eq!(log.read_vote().await?, Some(Vote::new(3, 1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![warn(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod completions;
mod encoding;
mod error;
mod log;
mod memory;
mod open;
mod options;
mod reader;
mod rebuild;

pub use self::error::OpenError;
pub use self::log::RaftLog;
pub use self::options::RaftLogOptions;
pub use self::reader::{Held, LogReader};
