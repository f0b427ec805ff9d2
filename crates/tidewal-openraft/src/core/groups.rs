//! Many raft logs in one `Wal`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use tidewal::{Durability, Recovery, Result};
use tokio::sync::oneshot;

use crate::core::completions::{Then, answered};
use crate::core::encoding::{self, Op, Owner};
use crate::core::growth::Growth;
use crate::core::keeper::keep;
use crate::core::log::Log;
use crate::core::marks::Marks;
use crate::core::rebuild::{Rebuilt, Replay, unreadable};
use crate::core::registry::Registry;
use crate::core::shared_wal::SharedWal;
use crate::core::types::Types;
use crate::error::{GroupError, OpenError};
use crate::options::RaftLogOptions;

/// The raft logs in a `Wal`.
pub(crate) struct Groups<T: Types> {
    shared: Arc<SharedWal<T>>,
    registry: Arc<Registry<T>>,
    options: RaftLogOptions,
}

impl<T: Types> Groups<T> {
    /// Reads the log once and distributes its records to the groups.
    pub(crate) async fn recover(
        mut recovery: Recovery,
        options: &RaftLogOptions,
    ) -> Result<Self, OpenError> {
        let growth = Growth::new(options.reclaim_after);
        let found = deal_out::<T>(&mut recovery, &growth).await?;
        let wal = recovery.into_wal().await?;
        let needs = |(id, rebuilt): (&u64, &Rebuilt<T>)| rebuilt.needs.map(|lsn| (*id, lsn));
        let marks = Marks::new(found.iter().filter_map(needs));
        let shared = SharedWal::start(wal, marks, Some(growth));
        let registry = Arc::new(Registry::new(&shared, found));
        T::spawn(keep(&shared, registry.clone(), options.reclaim_after));
        Ok(Self {
            shared,
            registry,
            options: options.clone(),
        })
    }

    /// Opens the log of a group, or makes a new one if there is none.
    pub(crate) fn open(&self, id: u64) -> Result<Log<T>, GroupError> {
        let (group, lease) = self.registry.lease(&self.shared, id)?;
        let shared = self.shared.clone();
        Ok(Log::new(shared, group, Some(lease), &self.options))
    }

    /// The groups that have a log.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.registry.ids()
    }

    /// Removes the log of a group.
    pub(crate) async fn remove(&self, id: u64) -> Result<(), GroupError> {
        let (group, _lease) = self.registry.lease(&self.shared, id)?;
        let mut turn = group.turn(&self.shared).await;
        let (answer, durable) = oneshot::channel();
        if turn.is_new() {
            // The removal of an earlier call that was dropped may not be durable.
            let then = Then::Answer(answer);
            turn.submit(Vec::new(), Durability::Durable, then, |_, _| ())
                .await?;
        } else {
            let record = encoding::removed(turn.header());
            turn.submit_last(record, answer).await?;
        }
        drop(turn);
        answered(durable).await?;
        group.turn(&self.shared).await.forget_mark();
        self.registry.remove(id);
        Ok(())
    }
}

/// Rebuilds the states of all groups.
async fn deal_out<T: Types>(
    recovery: &mut Recovery,
    growth: &Growth,
) -> Result<BTreeMap<u64, Rebuilt<T>>, OpenError> {
    let mut replays: BTreeMap<u64, Replay<T>> = BTreeMap::new();
    while let Some(record) = recovery.try_next().await? {
        let unreadable = |reason| unreadable(&record, reason);
        let (header, op) = encoding::decode::<T>(&record.payload).map_err(unreadable)?;
        let Owner::Group(id) = header.owner else {
            return Err(unreadable(OF_ONE.into()));
        };
        growth.note(record.lsn, record.payload.len() as u64);
        let replay = replays.entry(id);
        if let (Op::Removed, Entry::Occupied(replay)) = (&op, &replay) {
            replay.get().follows(header.number).map_err(unreadable)?;
        }
        match op {
            Op::Removed => drop(replays.remove(&id)),
            op => replay
                .or_insert_with(Replay::new)
                .apply_next(record.lsn, header.number, op)
                .map_err(unreadable)?,
        }
    }
    let end = recovery.report().end;
    let finish = |(id, replay): (u64, Replay<T>)| Ok((id, replay.finish(end)?));
    replays.into_iter().map(finish).collect()
}

const OF_ONE: &str = "it is of a log with one raft node. Open it with RaftLog";
