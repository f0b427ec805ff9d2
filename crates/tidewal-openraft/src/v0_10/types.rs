//! What the core must know about this version.

use std::io;

use openraft::entry::RaftEntry;
use openraft::storage::IOFlushed;
use openraft::type_config::alias::{LogIdOf, VoteOf};
use openraft::{AsyncRuntime, RaftTypeConfig};

use crate::core::Types;

/// The configuration `C` of openraft 0.10, for the types that both versions have.
#[derive(Debug)]
pub struct V0_10<C>(std::marker::PhantomData<C>);

impl<C: RaftTypeConfig> Types for V0_10<C> {
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
