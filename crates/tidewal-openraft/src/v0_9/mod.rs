//! For openraft 0.9, with its features `serde` and `storage-v2`.
//!
//! openraft 0.9 waits for the callback of one append before it makes the next, and a leader appends
//! each client's write separately. So a leader needs one sync per write, and handles at most as
//! many writes per second as its disk does syncs, however many clients there are. A service that
//! needs more puts several commands into one entry, or moves to [0.10](crate#versions). (Followers
//! append all entries of one message together.)

mod log;
mod logs;
mod reader;
mod types;

pub use self::log::RaftLog;
pub use self::logs::RaftLogs;
pub use self::reader::LogReader;
#[cfg(all(test, feature = "v0_9", feature = "v0_10"))]
pub(crate) use self::types::Raft;
