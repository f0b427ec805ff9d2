//! What the core must know about a version of openraft.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The types of one raft, in one version of openraft. Only the modules of the versions implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a version of openraft",
    note = "use `RaftLog`, `RaftLogs` and `LogReader` of `tidewal_openraft::v0_9` or `v0_10`, which \
            take the configuration of the raft"
)]
pub trait Types: Sized + Send + Sync + 'static {
    type Vote: Clone + Eq + Serialize + DeserializeOwned + Send + Sync + 'static;
    type LogId: Clone + Eq + Debug + Display + Serialize + DeserializeOwned + Send + Sync + 'static;
    type Entry: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The callback for a durable append.
    type Flushed: Send + 'static;

    fn index(log_id: &Self::LogId) -> u64;

    fn log_id(entry: &Self::Entry) -> Self::LogId;

    /// Calls the callback.
    fn flushed(callback: Self::Flushed, outcome: io::Result<()>);

    /// Runs a task on the runtime of the raft.
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}
