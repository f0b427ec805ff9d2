//! What the core and the adapter have to know of this version.

use std::io;

use openraft::AsyncRuntime;
pub(super) use openraft::RaftTypeConfig;
use openraft::entry::RaftEntry;
use openraft::storage::IOFlushed;
use openraft::type_config::alias::{LogIdOf, VoteOf};

use crate::core::Types;

/// The types of a raft.
#[derive(Debug)]
pub(crate) struct Raft<C>(std::marker::PhantomData<C>);

impl<C: RaftTypeConfig> Types for Raft<C> {
    type Vote = VoteOf<C>;
    type LogId = LogIdOf<C>;
    type Entry = C::Entry;
    type Flushed = IOFlushed<C>;

    fn index(log_id: &Self::LogId) -> u64 {
        log_id.index
    }

    fn log_id(entry: &Self::Entry) -> Self::LogId {
        entry.log_id()
    }

    fn flushed(callback: Self::Flushed, outcome: io::Result<()>) {
        callback.io_completed(outcome);
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(C::AsyncRuntime::spawn(task));
    }
}
