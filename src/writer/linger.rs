//! The bounded wait after a sync for the producers that it has answered.

use std::time::Duration;

use crate::executor::Executor;
use crate::queue::Inbox;

/// The bounded moment for producers that were just answered.
///
/// Group commit with producers that wait for their answers falls into two groups that take turns, and
/// each append then costs two syncs. Waiting a moment for those just answered, as many as there were,
/// brings them into one group (`PostgreSQL`'s `commit_delay` and Tandem's commit timer are the same
/// idea). A lone producer never makes anybody wait.
#[derive(Default)]
pub(super) struct Linger {
    expected: usize,
    /// A moving average.
    sync_time: Duration,
}

impl Linger {
    pub(super) fn note(&mut self, count: usize, sync_time: Duration) {
        self.sync_time = (self.sync_time * 7 + sync_time) / 8;
        self.expected = if count >= 2 { count } else { 0 };
    }

    pub(super) async fn wait(&mut self, executor: Executor, inbox: &Inbox) {
        let expected = std::mem::take(&mut self.expected);
        if expected == 0 {
            return;
        }
        let started = executor.now();
        let patience = LINGER_MAX.min(self.sync_time / 4);
        let limit = started + self.sync_time / 2;
        // Those who wait already are the other group: they do not count.
        let mut waiting = inbox.len();
        let wanted = waiting + expected;
        let mut deadline = started + patience;
        while waiting < wanted && executor.now() < deadline.min(limit) && executor.yield_now().await
        {
            let came = inbox.len();
            if came > waiting {
                waiting = came;
                deadline = executor.now() + patience;
            }
        }
    }
}

/// The longest wait for the next one of the producers that were just answered.
const LINGER_MAX: Duration = Duration::from_micros(30);
