//! What each group still needs of the log, which determines where the log can begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidewal::{Lsn, Wal};
use tokio::sync::watch;

/// The first LSN that each group needs. Groups without records are not included.
pub(crate) struct Marks {
    groups: Mutex<Groups>,
    low_water: watch::Sender<Lsn>,
}

#[derive(Default)]
struct Groups {
    by_group: BTreeMap<u64, Lsn>,
    by_lsn: BTreeSet<(Lsn, u64)>,
}

impl Marks {
    pub(crate) fn new(groups: impl IntoIterator<Item = (u64, Lsn)>) -> Self {
        let mut marks = Groups::default();
        for (group, lsn) in groups {
            marks.set(group, lsn);
        }
        Self {
            groups: Mutex::new(marks),
            low_water: watch::Sender::new(Lsn::ZERO),
        }
    }

    /// A group without records is about to get one, which will not be before `lsn`.
    pub(crate) fn begin(&self, group: u64, lsn: Lsn) {
        let mut groups = self.groups();
        if !groups.by_group.contains_key(&group) {
            groups.set(group, lsn);
        }
    }

    /// A group no longer needs anything before `lsn`.
    pub(crate) fn advance(&self, group: u64, lsn: Lsn) {
        let mut groups = self.groups();
        groups.set(group, lsn);
        self.publish(&groups);
    }

    /// A group no longer needs anything, including its last record.
    pub(crate) fn remove(&self, group: u64) {
        let mut groups = self.groups();
        groups.forget(group);
        self.publish(&groups);
    }

    /// The groups that need something before `limit`, ordered by the oldest LSN that they need.
    pub(crate) fn before(&self, limit: Lsn) -> Vec<u64> {
        let groups = self.groups();
        let old = groups.by_lsn.range(..(limit, 0));
        old.map(|(_, group)| *group).collect()
    }

    /// The low-water mark: where the log can begin.
    pub(crate) fn low_water(&self) -> Lsn {
        *self.low_water.borrow()
    }

    fn publish(&self, groups: &Groups) {
        if let Some((oldest, _)) = groups.by_lsn.first() {
            self.low_water.send_if_modified(|low_water| {
                let is_later = *oldest > *low_water;
                *low_water = (*low_water).max(*oldest);
                is_later
            });
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Lsn> {
        self.low_water.subscribe()
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    fn set(&mut self, group: u64, lsn: Lsn) {
        self.forget(group);
        self.by_group.insert(group, lsn);
        self.by_lsn.insert((lsn, group));
    }

    fn forget(&mut self, group: u64) {
        if let Some(lsn) = self.by_group.remove(&group) {
            self.by_lsn.remove(&(lsn, group));
        }
    }
}

/// Truncates the log in a separate task, so no callback waits for that.
pub(crate) async fn trim(wal: Wal, mut low_water: watch::Receiver<Lsn>) {
    while low_water.changed().await.is_ok() {
        let before = *low_water.borrow_and_update();
        // A failure of the log is reported with its next record. Files that remain are removed at
        // the next start.
        let _ = wal.truncate_before(before).await;
    }
}
