//! openraft 0.9, as the tests that both versions share need it.

use std::fmt::Debug;
use std::future::Future;
use std::ops::RangeBounds;

use openraft09::storage::RaftLogStorage;
use openraft09::{AnyError, RaftLogReader, StorageError, StorageIOError};
use tidewal::WalOptions;
use tidewal::sim::SimDisk;
use tidewal_openraft::{OpenError, RaftLogOptions};

pub use super::flushed::callback;
pub use super::machine::{Blob, Types};
use crate::support::DIR;

pub type RaftLog = tidewal_openraft::v0_9::RaftLog<Types>;
pub type RaftLogs = tidewal_openraft::v0_9::RaftLogs<Types>;
pub type Entry = openraft09::Entry<Types>;
pub type EntryPayload = openraft09::EntryPayload<Types>;
pub type LogId = openraft09::LogId<u64>;
pub type Vote = openraft09::Vote<u64>;
pub type StoreError = StorageError<u64>;

pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(openraft09::CommittedLeaderId::new(term, 1), index)
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

/// The traits, under names that both versions have.
pub mod openraft_traits {
    pub use openraft09::storage::RaftLogStorage;
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
        self.read_vote().await.unwrap()
    }

    async fn entries(&mut self, range: impl IndexRange) -> Vec<Entry> {
        self.try_get_log_entries(range).await.unwrap()
    }

    async fn some_entries(&mut self, start: u64, end: u64) -> Vec<Entry> {
        self.limited_get_log_entries(start, end).await.unwrap()
    }

    async fn truncate_since(&mut self, since: u64) -> Result<(), StoreError> {
        self.truncate(log_id(1, since)).await
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
    format!("{error} {error:?}")
}

pub fn is_out_of_order(error: &StoreError) -> bool {
    matches!(error, StorageError::Defensive { .. })
}

/// Shows the form of errors that the tests look for.
#[test]
fn errors_are_told_with_their_causes() {
    let cause = AnyError::error("the disk is full");
    let error = StoreError::from(StorageIOError::write_logs(cause));
    assert!(text(&error).contains("the disk is full") && !is_out_of_order(&error));
}
