//! Callbacks of appends. Their constructor is private to openraft, which makes one for every store.

use std::fmt::Debug;
use std::future::Future;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use openraft09::storage::{LogFlushed, RaftLogStorage, RaftLogStorageExt};
use openraft09::{Entry, LogId, LogState, OptionalSend, RaftLogReader, StorageError, Vote};

use super::machine::Types;

/// A callback, and a receiver of its result.
pub fn callback() -> (
    LogFlushed<Types>,
    impl Future<Output = Result<(), StorageError<u64>>> + Send,
) {
    let slot = Arc::new(Mutex::new(None));
    let mut catcher = Catcher(slot.clone());
    let mut outcome = Box::pin(async move { catcher.blocking_append([]).await });
    assert!((&mut outcome).now_or_never().is_none());
    let callback = slot.lock().unwrap().take().expect("append was called");
    (callback, outcome)
}

/// A store that only keeps the callback that it gets.
struct Catcher(Arc<Mutex<Option<LogFlushed<Types>>>>);

impl RaftLogStorage<Types> for Catcher {
    type LogReader = Self;

    async fn append<I>(
        &mut self,
        _entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        *self.0.lock().unwrap() = Some(callback);
        Ok(())
    }

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<u64>> {
        unreachable!()
    }

    async fn get_log_reader(&mut self) -> Self {
        unreachable!()
    }

    async fn save_vote(&mut self, _vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        unreachable!()
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        unreachable!()
    }

    async fn truncate(&mut self, _since: LogId<u64>) -> Result<(), StorageError<u64>> {
        unreachable!()
    }

    async fn purge(&mut self, _upto: LogId<u64>) -> Result<(), StorageError<u64>> {
        unreachable!()
    }
}

impl RaftLogReader<Types> for Catcher {
    async fn try_get_log_entries<R>(
        &mut self,
        _range: R,
    ) -> Result<Vec<Entry<Types>>, StorageError<u64>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        unreachable!()
    }
}
