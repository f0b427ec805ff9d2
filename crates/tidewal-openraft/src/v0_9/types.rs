//! What the core must know about this version.

use std::io;

use openraft09::storage::LogFlushed;
use openraft09::{AsyncRuntime, LogId, RaftLogId, RaftTypeConfig, Vote};

use crate::core::Types;

/// The configuration `C` of openraft 0.9, for the types that both versions have.
#[derive(Debug)]
pub struct V0_9<C>(std::marker::PhantomData<C>);

impl<C: RaftTypeConfig> Types for V0_9<C> {
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
