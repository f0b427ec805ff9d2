//! Many raft logs in one `Wal`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tidewal::{Durability, Recovery, Result};
use tokio::sync::oneshot;

use crate::core::completions::Then;
use crate::core::encoding::{self, Op, Owner};
use crate::core::growth::Growth;
use crate::core::journal::{Group, Journal};
use crate::core::keeper::keep;
use crate::core::log::{Log, answered};
use crate::core::marks::Marks;
use crate::core::rebuild::{Rebuilt, Replay, unreadable};
use crate::core::types::Types;
use crate::error::{GroupError, OpenError};
use crate::options::RaftLogOptions;

/// The raft logs in a `Wal`.
pub(crate) struct Groups<T: Types> {
    journal: Arc<Journal<T>>,
    registry: Arc<Registry<T>>,
    options: RaftLogOptions,
}

/// The groups that there are, by id.
pub(crate) struct Registry<T: Types>(Mutex<BTreeMap<u64, Slot<T>>>);

struct Slot<T: Types> {
    group: Arc<Group<T>>,
    is_open: bool,
}

/// The right to use a group, which one has at a time.
pub(crate) struct Lease<T: Types> {
    registry: Weak<Registry<T>>,
    id: u64,
}

impl<T: Types> Groups<T> {
    /// Reads the log once and deals its records out to the groups.
    pub(crate) async fn recover(
        mut recovery: Recovery,
        options: &RaftLogOptions,
    ) -> Result<Self, OpenError> {
        let growth = Growth::new(options.reclaim_after);
        let found = deal_out::<T>(&mut recovery, &growth).await?;
        let wal = recovery.into_wal().await?;
        let needs = |(id, rebuilt): (&u64, &Rebuilt<T>)| rebuilt.needs.map(|lsn| (*id, lsn));
        let marks = Marks::new(found.iter().filter_map(needs));
        let journal = Journal::start(wal, marks, Some(growth));
        let slot = |(id, rebuilt)| {
            let group = Arc::new(Group::new(&journal, Owner::Group(id), rebuilt));
            let is_open = false;
            (id, Slot { group, is_open })
        };
        let slots = found.into_iter().map(slot).collect();
        let registry = Arc::new(Registry(Mutex::new(slots)));
        T::spawn(keep(&journal, registry.clone(), options.reclaim_after));
        Ok(Self {
            journal,
            registry,
            options: options.clone(),
        })
    }

    /// Opens the log of a group, a new one if there is none.
    pub(crate) fn open(&self, id: u64) -> Result<Log<T>, GroupError> {
        let (group, lease) = self.lease(id)?;
        let journal = self.journal.clone();
        Ok(Log::new(journal, group, Some(lease), &self.options))
    }

    fn lease(&self, id: u64) -> Result<(Arc<Group<T>>, Lease<T>), GroupError> {
        let mut slots = self.registry.slots();
        let slot = slots.entry(id).or_insert_with(|| {
            let owner = Owner::Group(id);
            let group = Arc::new(Group::new(&self.journal, owner, Rebuilt::empty()));
            let is_open = false;
            Slot { group, is_open }
        });
        if std::mem::replace(&mut slot.is_open, true) {
            return Err(GroupError::Open { group: id });
        }
        let registry = Arc::downgrade(&self.registry);
        Ok((slot.group.clone(), Lease { registry, id }))
    }

    /// The groups that have a log.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.registry.slots().keys().copied().collect()
    }

    /// Removes the log of a group.
    pub(crate) async fn remove(&self, id: u64) -> Result<(), GroupError> {
        let (group, _lease) = self.lease(id)?;
        let mut turn = group.turn(&self.journal).await;
        if !turn.is_new() {
            let record = encoding::removed(turn.header());
            let (answer, durable) = oneshot::channel();
            let then = Then::Removed(answer);
            turn.submit_last(record, Durability::Durable, then).await?;
            drop(turn);
            answered(durable).await?;
            turn = group.turn(&self.journal).await;
        }
        turn.forget_mark();
        drop(turn);
        self.registry.slots().remove(&id);
        Ok(())
    }
}

impl<T: Types> Registry<T> {
    pub(crate) fn group(&self, id: u64) -> Option<Arc<Group<T>>> {
        self.slots().get(&id).map(|slot| slot.group.clone())
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u64, Slot<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Types> Drop for Lease<T> {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade()
            && let Some(slot) = registry.slots().get_mut(&self.id)
        {
            slot.is_open = false;
        }
    }
}

/// The states of all groups.
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

const OF_ONE: &str = "it is of a log with one raft node; open it with RaftLog";
