//! openraft 0.10, as the tests that both versions share need it.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::ops::RangeBounds;

use futures::FutureExt;
use openraft::RaftLogReader;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{EntryOf, EntryPayloadOf, LogIdOf, VoteOf};
use tidewal::WalOptions;
use tidewal::sim::SimDisk;
use tidewal_openraft::{OpenError, RaftLogOptions};

pub use super::machine::{Blob, Types};
use crate::support::DIR;

pub type RaftLog = tidewal_openraft::v0_10::RaftLog<Types>;
pub type RaftLogs = tidewal_openraft::v0_10::RaftLogs<Types>;
pub type Entry = EntryOf<Types>;
pub type EntryPayload = EntryPayloadOf<Types>;
pub type LogId = LogIdOf<Types>;
pub type Vote = VoteOf<Types>;
pub type StoreError = io::Error;

pub fn log_id(term: u64, index: u64) -> LogId {
    let leader_id = LeaderId { term, node_id: 1 };
    LogId { leader_id, index }
}

pub async fn open(options: WalOptions, disk: &SimDisk) -> Result<RaftLog, OpenError> {
    open_with(options, &RaftLogOptions::new(), disk).await
}

pub async fn open_with(
    options: WalOptions,
    raft: &RaftLogOptions,
    disk: &SimDisk,
) -> Result<RaftLog, OpenError> {
    RaftLog::recover(options.recover_on(disk, DIR).await?, raft).await
}

/// A callback, and a receiver of its result.
pub fn callback() -> (
    IOFlushed<Types>,
    impl Future<Output = Result<(), StoreError>> + Send,
) {
    let (sender, receiver) = Types::oneshot();
    let outcome =
        receiver.map(|outcome| outcome.unwrap_or_else(|gone| Err(io::Error::other(gone))));
    (IOFlushed::signal(sender), outcome)
}

/// The traits, under names that both versions have.
pub mod openraft_traits {
    pub use openraft::storage::RaftLogStorage;
}

/// Indexes.
pub trait IndexRange: RangeBounds<u64> + Clone + Debug + Send {}

impl<R: RangeBounds<u64> + Clone + Debug + Send> IndexRange for R {}

/// The calls that differ between the versions.
pub trait Calls {
    fn saved_vote(&mut self) -> impl Future<Output = Option<Vote>>;
    fn entries(&mut self, range: impl IndexRange) -> impl Future<Output = Vec<Entry>>;
    fn some_entries(&mut self, start: u64, end: u64) -> impl Future<Output = Vec<Entry>>;
    fn truncate_since(&mut self, since: u64) -> impl Future<Output = Result<(), StoreError>>;
    fn append_durably(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> impl Future<Output = Result<(), StoreError>>;
}

impl Calls for RaftLog {
    async fn saved_vote(&mut self) -> Option<Vote> {
        self.reader().read_vote().await.unwrap()
    }

    async fn entries(&mut self, range: impl IndexRange) -> Vec<Entry> {
        self.reader().try_get_log_entries(range).await.unwrap()
    }

    async fn some_entries(&mut self, start: u64, end: u64) -> Vec<Entry> {
        let mut reader = self.reader();
        reader.limited_get_log_entries(start, end).await.unwrap()
    }

    async fn truncate_since(&mut self, since: u64) -> Result<(), StoreError> {
        self.truncate_after(since.checked_sub(1).map(|last| log_id(1, last)))
            .await
    }

    async fn append_durably(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<(), StoreError> {
        let (callback, flushed) = callback();
        let entries: Vec<_> = entries.into_iter().collect();
        self.append(entries, callback).await?;
        flushed.await
    }
}

/// The error with its causes.
pub fn text(error: &StoreError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    causes.map(ToString::to_string).collect()
}

pub fn is_out_of_order(error: &StoreError) -> bool {
    error.kind() == io::ErrorKind::InvalidInput && text(error).contains("does not follow")
}
