//! The log of an [openraft](https://docs.rs/openraft) node, over one [`Wal`](tidewal::Wal).
//!
//! `RaftLog` implements openraft's `RaftLogStorage`: pass it to `Raft::new` with a state machine.
//! Entries, votes, committed log ids, truncations and purges are records of one log, in the order
//! of the calls.
//!
//! # Versions
//!
//! | openraft | feature | module |
//! |---|---|---|
//! | 0.10 (a pre-release) | `v0_10` | [`v0_10`] |
//! | 0.9, with its features `serde` and `storage-v2` | `v0_9` | [`v0_9`] |
//!
//! Each module has `RaftLog`, `RaftLogs` and `LogReader` for a configuration of that version. They
//! are aliases of the types below, so both versions have the same methods.
//!
//! No feature is on by default. A directory that was written under 0.9 opens under 0.10, and vice
//! versa: the records have the same bytes (with 0.10's default types for vote, entry and leader
//! id).
//!
//! # What is durable when
//!
//! | Call | Returns | Durable |
//! |---|---|---|
//! | `append` | once the entries are submitted, and readable | when the callback is called |
//! | `save_vote` | | when it returns |
//! | `truncate`, `truncate_after`, `purge` | | when it returns |
//! | `save_committed` | once it is submitted | with the next sync, 10 ms later at the latest |
//!
//! Any number of appends can be in flight. Their callbacks are called in the order of the calls. A
//! restart rebuilds the state after a prefix of the calls, which includes every call that was
//! acknowledged.
//!
//! A restarted leader must not serve reads based on what `save_committed` saved last. With openraft
//! 0.10, set `enable_leader_restore: Some(false)` in `Config`. With 0.9, let the leader commit an
//! entry of its own first.
//!
//! # Memory
//!
//! The files are read only when the log is opened. Entries that are not purged are served from
//! memory, where each takes its own size plus, as an estimate, its encoded size. Your snapshot
//! policy bounds them: `snapshot_policy` and `max_in_snapshot_log_to_keep` of openraft's `Config`.
//! After a snapshot openraft purges, which frees memory at once and files in whole segments.
//! [`RaftLogOptions::memory_limit`] is the hard limit: an append beyond it fails, which stops the
//! node before the machine runs out of memory. `LogReader::held` reports how much is held.
//!
//! # Failures
//!
//! The first failed record fails the log: its call and every later one get the original cause, and
//! openraft shuts the node down. Nothing that was acknowledged is lost. Open the log again to
//! continue, after a full disk once there is room.
//!
//! If the state cannot be rebuilt from a directory, opening fails with an [`OpenError`], which says
//! what to do.
//!
//! # Options of the log
//!
//! All [`WalOptions`](tidewal::WalOptions) can be used except two: with
//! [`SyncPolicy::Manual`](tidewal::SyncPolicy::Manual), no vote would ever become durable, and
//! [`start_at`](tidewal::WalOptions::start_at) skips records that are needed, which is an error.
//! Each entry is a record, so its encoding plus 10 bytes must fit into `max_record_size`.
//!
//! # Examples
//!
//! Opens a log, saves a vote, and opens the log again. In a service the log goes to `Raft::new`
//! (`examples/raft-kv` in the repository).
//!
//! ```
//! use openraft::storage::{RaftLogReader, RaftLogStorage};
//! use openraft::Vote;
//! use tidewal_openraft::v0_10::RaftLog;
//!
//! # #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
//! # pub struct Command(String);
//! # impl std::fmt::Display for Command {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
//! #         f.write_str(&self.0)
//! #     }
//! # }
//! openraft::declare_raft_types!(
//!     pub Types: D = Command, R = ()
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
//! assert_eq!(log.reader().read_vote().await?, Some(Vote::new(3, 1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![warn(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[cfg(any(feature = "v0_9", feature = "v0_10"))]
mod core;
mod error;
#[cfg(any(feature = "v0_9", feature = "v0_10"))]
mod held;
#[cfg(any(feature = "v0_9", feature = "v0_10"))]
mod log;
#[cfg(any(feature = "v0_9", feature = "v0_10"))]
mod logs;
mod options;
#[cfg(any(feature = "v0_9", feature = "v0_10"))]
mod reader;
#[cfg(feature = "v0_10")]
pub mod v0_10;
#[cfg(feature = "v0_9")]
pub mod v0_9;

pub use self::error::{GroupError, OpenError};
pub use self::options::RaftLogOptions;
#[cfg(any(feature = "v0_9", feature = "v0_10"))]
pub use self::{held::Held, log::RaftLog, logs::RaftLogs, reader::LogReader};
