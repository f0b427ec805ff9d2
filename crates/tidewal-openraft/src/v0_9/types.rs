//! What the core and the adapter have to know of this version.

use std::io;

pub(super) use openraft09::RaftTypeConfig;
use openraft09::storage::LogFlushed;
use openraft09::{AsyncRuntime, LogId, RaftLogId, Vote};

use crate::core::Types;

/// The types of a raft.
#[derive(Debug)]
pub(crate) struct Raft<C>(std::marker::PhantomData<C>);

impl<C: RaftTypeConfig> Types for Raft<C> {
    type Vote = Vote<C::NodeId>;
    type LogId = LogId<C::NodeId>;
    type Entry = C::Entry;
    type Flushed = LogFlushed<C>;

    fn index(log_id: &Self::LogId) -> u64 {
        log_id.index
    }

    fn log_id(entry: &Self::Entry) -> Self::LogId {
        entry.get_log_id().clone()
    }

    fn flushed(callback: Self::Flushed, outcome: io::Result<()>) {
        callback.log_io_completed(outcome);
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(C::AsyncRuntime::spawn(task));
    }
}
