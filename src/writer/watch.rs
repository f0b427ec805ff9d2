//! The stall monitor: watches the writer while the writer waits for the disk.
//!
//! A writer that is blocked in a call to a stalled disk cannot report itself. So a task of its
//! own looks at the start of the work under way, warns while it is slow (feature `tracing`), and
//! publishes for how long it has been running, and what waits in the queue (feature `metrics`).
//!
//! The writer wakes it only after it has gone to sleep for want of anything to look at, so that a busy
//! log pays for one look a second, and an idle one for none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::error::IoFailure;
use crate::executor::{Executor, race};
use crate::options::WalOptions;
use crate::queue::{Inbox, Watched};
use crate::storage::Dir;
use crate::writer::slow::Slow;

/// The writer's side. The task ends when this is dropped.
pub(super) struct Watch {
    nap: Arc<Nap>,
    slow: Slow,
    _end: oneshot::Sender<()>,
}

impl Watch {
    /// Starts the task, for the log in `dir`.
    pub(super) fn start(
        dir: &Dir,
        executor: Executor,
        options: &WalOptions,
        inbox: &Inbox,
    ) -> Result<Self, IoFailure> {
        let nap = Arc::new(Nap::default());
        let slow = Slow::new(dir, options);
        let (end, ended) = oneshot::channel();
        let watcher = Watcher {
            executor,
            watched: inbox.watched(),
            nap: Arc::clone(&nap),
            slow: slow.clone(),
        };
        executor.run("tidewal-watch", dir.path(), watcher.run(ended))?;
        Ok(Self {
            nap,
            slow,
            _end: end,
        })
    }

    /// Says that the writer is about to wait for the disk, which must have been noted.
    pub(super) fn begun(&self) {
        fence(Ordering::SeqCst);
        if self.nap.is_asleep.load(Ordering::Relaxed) {
            self.nap.woken.notify_one();
        }
    }

    /// Says that the disk took so long.
    pub(super) fn ended(&self, took: Duration) {
        self.slow.ended(took);
    }
}

/// Where the task sleeps while nothing happens.
#[derive(Default)]
struct Nap {
    is_asleep: AtomicBool,
    woken: Notify,
}

impl Nap {
    /// Waits to be woken, unless there is something to look at already.
    async fn take(&self, is_over: impl FnOnce() -> bool) {
        self.is_asleep.store(true, Ordering::Relaxed);
        // Either the writer sees the sleeper, or its work is seen here.
        fence(Ordering::SeqCst);
        if !is_over() {
            self.woken.notified().await;
        }
        self.is_asleep.store(false, Ordering::Relaxed);
    }
}

struct Watcher {
    executor: Executor,
    watched: Watched,
    nap: Arc<Nap>,
    slow: Slow,
}

impl Watcher {
    async fn run(mut self, ended: oneshot::Receiver<()>) {
        race(self.look_on(), async {
            // An error is the end, too.
            let _ = ended.await;
        })
        .await;
        self.watched.publish(self.executor.now());
    }

    async fn look_on(&mut self) {
        let mut seen = 0;
        loop {
            let now = self.executor.now();
            self.watched.publish(now);
            let since = self.watched.counters().disk_work_since();
            let next = self.slow.look(since, now).min(now + LOOK_EVERY);
            let begun = self.watched.counters().disk_works();
            if since.is_none() && begun == seen {
                let counters = self.watched.counters();
                self.nap.take(|| counters.disk_works() != seen).await;
            } else {
                self.executor.sleep_until(Some(next)).await;
            }
            seen = begun;
        }
    }
}

/// How often a log at work is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
