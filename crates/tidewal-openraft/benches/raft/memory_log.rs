//! A raft log in memory, which forgets everything with its process: what openraft can do at best.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{Entry, LogId, LogState, OptionalSend, RaftLogReader, StorageError, Vote};

use crate::cluster::Types;

#[derive(Clone, Default)]
pub struct MemoryLog(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    vote: Option<Vote<u64>>,
    purged: Option<LogId<u64>>,
    entries: BTreeMap<u64, Entry<Types>>,
}

impl MemoryLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl RaftLogStorage<Types> for MemoryLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<u64>> {
        let state = self.state();
        let last = state.entries.last_key_value();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: last.map(|(_, entry)| entry.log_id).or(state.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        self.state().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        Ok(self.state().vote)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, entry));
        self.state().entries.extend(entries);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.state().entries.split_off(&since.index);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Result<(), StorageError<u64>> {
        let mut state = self.state();
        state.entries = state.entries.split_off(&(upto.index + 1));
        state.purged = Some(upto);
        Ok(())
    }
}

impl RaftLogReader<Types> for MemoryLog {
    async fn try_get_log_entries<R>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types>>, StorageError<u64>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let state = self.state();
        let entries = state.entries.range(range);
        Ok(entries.map(|(_, entry)| entry.clone()).collect())
    }
}
