//! The log of a raft node: the records that its calls write.

use std::sync::Arc;

use bytes::Bytes;
use tidewal::{Durability, Error, Recovery, Result};
use tokio::sync::oneshot;

use crate::core::chunk::{Chunks, Encoded};
use crate::core::completions::{Then, answered};
use crate::core::encoding::{self, EncodeError, Owner};
use crate::core::marks::Marks;
use crate::core::memory::{OutOfOrder, Position, SharedMemory, check_order, cost};
use crate::core::rebuild::Rebuilt;
use crate::core::registry::Lease;
use crate::core::shared_wal::{Group, Reserved, SharedWal, Turn};
use crate::core::types::Types;
use crate::error::OpenError;
use crate::options::RaftLogOptions;

pub(crate) struct Log<T: Types> {
    shared: Arc<SharedWal<T>>,
    group: Arc<Group<T>>,
    /// Only in a log of many groups.
    _lease: Option<Lease<T>>,
    memory_limit: u64,
}

impl<T: Types> Log<T> {
    /// Rebuilds the only log in a `Wal`.
    pub(crate) async fn recover(
        mut recovery: Recovery,
        options: &RaftLogOptions,
    ) -> Result<Self, OpenError> {
        let rebuilt = Rebuilt::single(&mut recovery).await?;
        let wal = recovery.into_wal().await?;
        let owner = Owner::Single;
        let marks = Marks::new(rebuilt.needs.map(|lsn| (owner.id(), lsn)));
        let shared = SharedWal::start(wal, marks, None);
        let group = Arc::new(Group::new(&shared, owner, rebuilt));
        Ok(Self::new(shared, group, None, options))
    }

    pub(crate) fn new(
        shared: Arc<SharedWal<T>>,
        group: Arc<Group<T>>,
        lease: Option<Lease<T>>,
        options: &RaftLogOptions,
    ) -> Self {
        Self {
            shared,
            group,
            _lease: lease,
            memory_limit: options.memory_limit,
        }
    }

    pub(crate) fn memory(&self) -> &SharedMemory<T> {
        &self.group.memory
    }

    async fn turn(&self) -> Turn<'_, T> {
        self.group.turn(&self.shared).await
    }

    /// Records entries, and calls back once they are durable. All entries are readable when this
    /// returns.
    pub(crate) async fn append(
        &self,
        entries: impl Iterator<Item = T::Entry>,
        callback: T::Flushed,
    ) -> Result<(), WriteError<T>> {
        let mut turn = self.turn().await;
        let (encoded, bytes) = self.encode(&turn, entries)?;
        let reserved = self.shared.reserve(bytes, self.memory_limit);
        let mut reserved = reserved.ok_or(WriteError::MemoryLimit(self.memory_limit))?;
        let mut chunks = Chunks::new(encoded);
        loop {
            let chunk = chunks.take();
            if chunks.is_empty() {
                let then = Then::Flushed(callback);
                return Ok(submit_entries(&mut turn, chunk, &mut reserved, then).await?);
            }
            submit_entries(&mut turn, chunk, &mut reserved, Then::Nothing).await?;
        }
    }

    /// Checks that the entries follow the last one, and encodes them. Also returns the memory that
    /// they take.
    ///
    /// It stops if there is no room for them, but reserves nothing: an append that held a part of
    /// its memory could make another one fail, and then fail too.
    fn encode(
        &self,
        turn: &Turn<'_, T>,
        entries: impl Iterator<Item = T::Entry>,
    ) -> Result<(Records<T>, u64), WriteError<T>> {
        let (mut header, mut bytes) = (turn.header(), 0);
        let mut last = self.memory().lock().last_entry();
        let mut all = Vec::with_capacity(entries.size_hint().0);
        for entry in entries {
            let log_id = T::log_id(&entry);
            check_order::<T>(last.replace(log_id.clone()), log_id)?;
            let (record, len) = encoding::entry(header, &entry)?;
            bytes += cost::<T>(len);
            if !self.shared.has_room(bytes, self.memory_limit) {
                return Err(WriteError::MemoryLimit(self.memory_limit));
            }
            header.number += 1;
            let of = (entry, len);
            all.push(Encoded { record, of });
        }
        Ok((all, bytes))
    }

    /// Records a vote so that neither a crash nor damage to one page of the disk can lose it
    /// unnoticed.
    ///
    /// Damage to the last record of a log that was not closed can be taken for a torn tail. So the
    /// vote is made durable first, and then a second record on another page, which proves the
    /// first.
    pub(crate) async fn save_vote(&self, vote: T::Vote) -> Result<(), WriteError<T>> {
        let first = self.submit_vote(&mut self.turn().await, &vote).await?;
        answered(first).await?;
        let mut turn = self.turn().await;
        let padding = vec![encoding::padding(turn.header())];
        turn.submit(padding, Durability::Written, Then::Nothing, |_, _| ())
            .await?;
        let proof = self.submit_vote(&mut turn, &vote).await?;
        drop(turn);
        Ok(answered(proof).await?)
    }

    async fn submit_vote(
        &self,
        turn: &mut Turn<'_, T>,
        vote: &T::Vote,
    ) -> Result<oneshot::Receiver<Result<()>>, WriteError<T>> {
        let record = encoding::vote(turn.header(), vote)?;
        let (answer, durable) = oneshot::channel();
        let then = Then::Answer(answer);
        let vote = vote.clone();
        turn.submit(vec![record], Durability::Durable, then, |memory, _| {
            memory.vote = Some(vote);
        })
        .await?;
        Ok(durable)
    }

    /// Records the committed log id. It becomes durable with the next records, or shortly
    /// afterwards.
    pub(crate) async fn save_committed(
        &self,
        committed: Option<T::LogId>,
    ) -> Result<(), WriteError<T>> {
        let mut turn = self.turn().await;
        let record = encoding::committed(turn.header(), &committed)?;
        let then = Then::Nothing;
        turn.submit(vec![record], Durability::Written, then, |memory, _| {
            memory.committed = committed;
        })
        .await?;
        Ok(())
    }

    /// Removes the entries from index `since` on.
    pub(crate) async fn truncate(&self, since: u64) -> Result<(), WriteError<T>> {
        let mut turn = self.turn().await;
        let record = encoding::truncate(turn.header(), since);
        let (answer, durable) = oneshot::channel();
        let then = Then::Answer(answer);
        turn.submit(vec![record], Durability::Durable, then, |memory, _| {
            memory.truncate(since);
        })
        .await?;
        drop(turn);
        Ok(answered(durable).await?)
    }

    /// Removes the entries up to and including `upto`.
    pub(crate) async fn purge(&self, upto: T::LogId) -> Result<(), WriteError<T>> {
        let mut turn = self.turn().await;
        let header = turn.header();
        let memory = self.memory();
        let (checkpoint, needs) = memory.lock().checkpoint(header.number, Some(upto.clone()));
        let record = encoding::checkpoint(header, &checkpoint)?;
        let (answer, durable) = oneshot::channel();
        let then = Then::Checkpoint { needs, answer };
        turn.submit(vec![record], Durability::Durable, then, |memory, _| {
            memory.purge(upto);
        })
        .await?;
        drop(turn);
        Ok(answered(durable).await?)
    }
}

/// An entry, with the length of its encoding in bytes.
type Entry<T> = (<T as Types>::Entry, usize);

/// The records of the entries of an append.
type Records<T> = Vec<Encoded<Entry<T>>>;

async fn submit_entries<T: Types>(
    turn: &mut Turn<'_, T>,
    (records, entries): (Vec<Bytes>, Vec<Entry<T>>),
    reserved: &mut Reserved<'_, T>,
    then: Then<T>,
) -> Result<()> {
    let first = turn.header().number;
    turn.submit(records, Durability::Durable, then, |memory, lsn| {
        for (number, (entry, len)) in (first..).zip(entries) {
            reserved.spend(cost::<T>(len));
            memory.insert(Position { number, lsn }, entry, len);
        }
    })
    .await
}

/// Why something was not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError<T: Types> {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Log(#[from] Error),
    #[error(
        "the entries would take more than {0} bytes of memory. Let the snapshot policy purge \
         earlier, or raise memory_limit"
    )]
    MemoryLimit(u64),
    #[error(transparent)]
    Order(#[from] OutOfOrder<T>),
}

#[cfg(feature = "v0_10")]
impl<T: Types> WriteError<T> {
    pub(crate) fn kind(&self) -> std::io::ErrorKind {
        match self {
            Self::Encode(_) | Self::Order(_) => std::io::ErrorKind::InvalidInput,
            Self::Log(error) => crate::core::completions::kind(error),
            Self::MemoryLimit(_) => std::io::ErrorKind::OutOfMemory,
        }
    }
}
