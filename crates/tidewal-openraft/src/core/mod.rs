//! A raft log, independent of the version of openraft: the records, the state that they describe,
//! and when they are durable. `v0_9` and `v0_10` are thin adapters over it.

mod chunk;
mod completions;
mod encoding;
mod groups;
mod growth;
mod keeper;
mod log;
mod marks;
mod memory;
mod rebuild;
mod registry;
mod shared_wal;
mod types;

pub(crate) use self::groups::Groups;
pub(crate) use self::log::{Log, WriteError};
#[cfg(feature = "v0_9")]
pub(crate) use self::memory::OutOfOrder;
pub(crate) use self::memory::SharedMemory;
pub(crate) use self::types::Types;
