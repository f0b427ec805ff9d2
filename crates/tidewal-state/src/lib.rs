//! A durable state machine: the state of a service, in memory and on disk.
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use serde::{Deserialize, Serialize};
//! use std::collections::BTreeMap;
//! use tidewal::Lsn;
//! use tidewal::typed::{Json, Logged};
//! use tidewal_state::{State, StateMachine};
//!
//! #[derive(Clone, Default, Deserialize, Serialize)]
//! struct Counters(BTreeMap<String, u64>);
//!
//! #[derive(Deserialize, Serialize)]
//! struct Add(String, u64);
//!
//! impl Logged for Add {
//!     type Codec = Json;
//! }
//!
//! impl State for Counters {
//!     type Command = Add;
//!     type Output = u64;
//!     type Snapshot = Json;
//!
//!     fn apply(&mut self, _: Lsn, Add(name, count): Add) -> u64 {
//!         let counter = self.0.entry(name).or_default();
//!         *counter += count;
//!         *counter
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Runtime::new().unwrap();
//! # runtime.block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let counters = StateMachine::<Counters>::open(dir).await?;
//! let visits = counters.execute(Add("visits".into(), 1)).await?; // durable and applied
//! assert_eq!(visits, counters.query(|state| state.0["visits"])?);
//! # counters.close().await?;
//! # Ok::<(), tidewal_state::Error>(())
//! # }).unwrap();
//! # }
//! ```
//!
//! [`StateMachine`] loads the newest snapshot and replays the log after it. It applies commands in
//! the order of the log, answers each once it is durable *and* applied, takes snapshots while
//! commands continue, and truncates the log. The service implements what its commands do:
//! [`State`].
//!
//! # The promise
//!
//! - If `execute` returned `Ok`, the command is applied exactly once, in this process and in every
//!   later start, through killed processes, power cuts, full disks and dropped futures.
//! - A query shows durable state only, including the effect of every command that was answered
//!   before.
//! - A snapshot is durable before the log is truncated, and the previous snapshot is kept until
//!   then.
//! - With [`execute_once`](StateMachine::execute_once), a request that is sent again is not
//!   executed again.
//!
//! `examples/bank.rs` in the repository is a complete service: transfers that are retried and executed
//! once, and a state whose type has changed. `docs/state.md` has the orderings, what a snapshot costs, how a state's type may
//! change, and what was tested.
//!
//! # Features
//!
//! - `json`: snapshots as JSON, for states that serde can serialize. A good default to begin with.
//! - `sim`: [`Options::open_on`], for crash tests on the simulated disk. Turn it on in your
//!   `dev-dependencies`.

#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod applier;
mod contents;
mod core;
mod error;
mod handle;
mod in_flight;
mod machine;
#[cfg(tidewal_mutants)]
#[doc(hidden)]
pub mod mutants;
#[cfg(not(tidewal_mutants))]
mod mutants;
mod open;
mod options;
mod record;
mod reserve;
mod sessions;
mod snapshot_requests;
mod snapshotter;
mod state;
mod stats;

pub use crate::error::{Error, Result};
pub use crate::handle::{PendingOutput, StateMachine};
pub use crate::options::{Options, SnapshotPolicy};
pub use crate::sessions::{Limits, RequestId, SessionId};
pub use crate::state::{SnapshotFormat, State};
pub use crate::stats::Stats;
