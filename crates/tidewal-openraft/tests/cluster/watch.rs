//! A watch channel that wakes its receivers in the order in which they began to wait. That of tokio
//! chooses the order at random, so one seed would give different runs.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use openraft::async_runtime::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender};
use openraft::{OptionalSend, OptionalSync};
use tokio::sync::Notify;

/// The channels of [`Processes`](crate::runtime::Processes).
pub struct InOrder;

struct Channel<T> {
    value: RwLock<T>,
    version: AtomicU64,
    is_closed: AtomicBool,
    /// It wakes in the order of waiting.
    changed: Notify,
}

pub struct Sender<T>(Arc<Sending<T>>);

/// The channel, for all clones of its sender.
struct Sending<T>(Arc<Channel<T>>);

pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// The last version that it has seen.
    seen: u64,
}

pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl Watch for InOrder {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(first: T) -> (Sender<T>, Receiver<T>) {
        let channel = Arc::new(Channel {
            value: RwLock::new(first),
            version: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let receiver = channel.receiver();
        (Sender(Arc::new(Sending(channel))), receiver)
    }
}

impl<T> Channel<T> {
    fn receiver(self: &Arc<Self>) -> Receiver<T> {
        Receiver {
            channel: self.clone(),
            seen: self.version.load(Relaxed),
        }
    }

    fn borrow(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap())
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<InOrder, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        // Each receiver holds the channel, and all senders together once.
        if Arc::strong_count(&self.0.0) == 1 {
            return Err(SendError(value));
        }
        self.send_if_modified(|old| {
            *old = value;
            true
        });
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let channel = &self.0.0;
        let is_modified = modify(&mut channel.value.write().unwrap());
        if is_modified {
            channel.version.fetch_add(1, Relaxed);
            channel.changed.notify_waiters();
        }
        is_modified
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.0.0.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        self.0.0.receiver()
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<InOrder, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        loop {
            let changed = self.channel.changed.notified();
            let version = self.channel.version.load(Relaxed);
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.channel.is_closed.load(Relaxed) {
                return Err(RecvError(()));
            }
            changed.await;
        }
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.channel.borrow()
    }

    fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.channel.version.load(Relaxed);
        self.channel.borrow()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            seen: self.seen,
        }
    }
}

impl<T> Drop for Sending<T> {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Relaxed);
        self.0.changed.notify_waiters();
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// openraft's checks of a watch channel.
#[test]
fn it_is_a_watch_channel() {
    use openraft::testing::runtime::Suite;

    use crate::runtime::{self, Process, Processes};

    type Checks = Suite<Processes>;

    crate::support::run(async {
        runtime::begin(0);
        let checks = async {
            Checks::test_watch_init_value().await;
            Checks::test_watch_overwrite_init_value().await;
            Checks::test_watch_send_error_no_receiver().await;
            Checks::test_watch_send_if_modified().await;
            Checks::test_watch_wait_until_ge().await;
            Checks::test_watch_wait_until().await;
            Checks::test_watch_changed_marks_as_seen().await;
            Checks::test_watch_borrow_and_update_marks_seen().await;
            Checks::test_watch_changed_returns_immediately_when_unseen().await;
            Checks::test_watch_multiple_borrow_then_changed().await;
            Checks::test_watch_wait_loop_pattern().await;
            Checks::test_watch_multiple_receivers().await;
            Checks::test_watch_subscribe().await;
            Checks::test_watch_send_if_different().await;
            Checks::test_watch_send_if_greater().await;
        };
        Process::new(1000).within(checks).await;
    });
}
