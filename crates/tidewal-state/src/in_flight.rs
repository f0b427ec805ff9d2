//! A bound on commands in flight.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Bytes of commands that were submitted and not applied yet.
///
/// A command enters as long as there is any room, and may exceed the bound. Otherwise a large command
/// would wait for as long as small ones take the room that it needs. So what is in flight exceeds the
/// bound by one command at most.
///
/// Room is never set aside for a caller that waits, neither for room nor for a place in the log's queue: all are
/// woken, and take what there is when they are polled. So a future that is kept without being polled keeps
/// nothing from others. What had to wait for its place in the log is counted beyond the bound.
#[derive(Debug)]
pub(crate) struct InFlight {
    used: AtomicU64,
    max: AtomicU64,
    freed: Notify,
}

impl InFlight {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            max: AtomicU64::new(max),
            freed: Notify::new(),
        }
    }

    /// Waits until there is room, and takes `bytes`.
    pub(crate) async fn enter(&self, bytes: u64) -> Taken<'_> {
        loop {
            if let Some(taken) = self.try_enter(bytes) {
                return taken;
            }
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(taken) = self.try_enter(bytes) {
                return taken;
            }
            freed.await;
        }
    }

    /// Takes room for `bytes`, if there is any.
    pub(crate) fn try_enter(&self, bytes: u64) -> Option<Taken<'_>> {
        let fits = |used: u64| {
            let has_room = used == 0 || used < self.max.load(Ordering::Relaxed);
            has_room.then(|| used.saturating_add(bytes))
        };
        let entered = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits);
        entered.ok().map(|_| Taken { room: self, bytes })
    }

    /// Takes room for what is on its way already, whatever there is.
    pub(crate) fn enter_beyond(&self, bytes: u64) -> Taken<'_> {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Taken { room: self, bytes }
    }

    /// Takes the bound away.
    pub(crate) fn open(&self) {
        self.max.store(u64::MAX, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    pub(crate) fn leave(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_waiters();
    }
}

/// Room that is freed when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    room: &'a InFlight,
    bytes: u64,
}

impl Taken<'_> {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Leaves it to other code to free the room.
    pub(crate) fn hand_over(self) {
        std::mem::forget(self);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.leave(self.bytes);
    }
}
