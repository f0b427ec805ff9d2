//! The stall monitor: watches the writer while it waits for the disk.
//!
//! A writer that is blocked in a call to a stalled disk cannot report itself. So a separate task
//! looks at the start of the current work. It warns while the work is slow (feature `tracing`), and
//! publishes its age and what is waiting in the queue (feature `metrics`).
//!
//! The writer wakes the task only if it has fallen asleep because there was nothing to watch. So a
//! busy log pays for one check a second, and an idle log for none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::error::IoFailure;
use crate::executor::{Executor, race};
use crate::options::WalOptions;
use crate::queue::{Inbox, Watched};
use crate::storage::Dir;
use crate::writer::slow_sync::Slow;

/// The writer's end. The task ends when this is dropped.
pub(super) struct StallMonitor {
    idle: Arc<Idle>,
    slow: Slow,
    _end: oneshot::Sender<()>,
}

impl StallMonitor {
    /// Starts the task, for the log in `dir`.
    pub(super) fn start(
        dir: &Dir,
        executor: Executor,
        options: &WalOptions,
        inbox: &Inbox,
    ) -> Result<Self, IoFailure> {
        let idle = Arc::new(Idle::default());
        let slow = Slow::new(dir, options);
        let (end, ended) = oneshot::channel();
        let watcher = Watcher {
            executor,
            watched: inbox.watched(),
            idle: Arc::clone(&idle),
            slow: slow.clone(),
        };
        executor.run("tidewal-watch", dir.path(), watcher.run(ended))?;
        Ok(Self {
            idle,
            slow,
            _end: end,
        })
    }

    /// Reports that the writer is about to wait for the disk. The counters must have recorded it
    /// before.
    pub(super) fn begun(&self) {
        fence(Ordering::SeqCst);
        if self.idle.is_asleep.load(Ordering::Relaxed) {
            self.idle.woken.notify_one();
        }
    }

    /// Reports how long the disk took.
    pub(super) fn ended(&self, took: Duration) {
        self.slow.ended(took);
    }
}

/// The idle state of the task.
#[derive(Default)]
struct Idle {
    is_asleep: AtomicBool,
    woken: Notify,
}

impl Idle {
    /// Waits to be woken, unless there is something to watch already.
    async fn take(&self, is_over: impl FnOnce() -> bool) {
        self.is_asleep.store(true, Ordering::Relaxed);
        // Either the writer sees that this task is asleep, or this task sees the writer's work.
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
    idle: Arc<Idle>,
    slow: Slow,
}

impl Watcher {
    async fn run(mut self, ended: oneshot::Receiver<()>) {
        race(self.look_on(), async {
            // An error also means the end.
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
                self.idle.take(|| counters.disk_works() != seen).await;
            } else {
                self.executor.sleep_until(Some(next)).await;
            }
            seen = begun;
        }
    }
}

/// How often a busy log is checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
