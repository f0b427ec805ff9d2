//! Which groups there are, and which of them are in use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::core::encoding::Owner;
use crate::core::rebuild::Rebuilt;
use crate::core::shared_wal::{Group, SharedWal};
use crate::core::types::Types;
use crate::error::GroupError;

/// All groups, by id.
pub(crate) struct Registry<T: Types>(Mutex<BTreeMap<u64, Slot<T>>>);

struct Slot<T: Types> {
    group: Arc<Group<T>>,
    is_open: bool,
}

/// The exclusive right to use a group.
pub(crate) struct Lease<T: Types> {
    registry: Weak<Registry<T>>,
    id: u64,
}

impl<T: Types> Registry<T> {
    /// The groups that were found in a log.
    pub(crate) fn new(shared: &SharedWal<T>, found: BTreeMap<u64, Rebuilt<T>>) -> Self {
        let slot = |(id, rebuilt)| (id, Slot::new(shared, id, rebuilt));
        Self(Mutex::new(found.into_iter().map(slot).collect()))
    }

    /// Gives the group to the caller alone, a new one if there is none.
    pub(crate) fn lease(
        self: &Arc<Self>,
        shared: &SharedWal<T>,
        id: u64,
    ) -> Result<(Arc<Group<T>>, Lease<T>), GroupError> {
        let mut slots = self.slots();
        let new = || Slot::new(shared, id, Rebuilt::empty());
        let slot = slots.entry(id).or_insert_with(new);
        if std::mem::replace(&mut slot.is_open, true) {
            return Err(GroupError::Open { group: id });
        }
        let registry = Arc::downgrade(self);
        Ok((slot.group.clone(), Lease { registry, id }))
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.slots().keys().copied().collect()
    }

    pub(crate) fn remove(&self, id: u64) {
        self.slots().remove(&id);
    }

    pub(crate) fn group(&self, id: u64) -> Option<Arc<Group<T>>> {
        self.slots().get(&id).map(|slot| slot.group.clone())
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u64, Slot<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Types> Slot<T> {
    fn new(shared: &SharedWal<T>, id: u64, rebuilt: Rebuilt<T>) -> Self {
        Self {
            group: Arc::new(Group::new(shared, Owner::Group(id), rebuilt)),
            is_open: false,
        }
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
