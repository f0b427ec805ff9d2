//! The bounded wait, after a sync, for the producers that it has answered.

use std::time::Duration;

use crate::executor::Executor;
use crate::queue::Inbox;

/// Waits briefly for producers that were just answered.
///
/// Under group commit, producers that wait for their answers tend to split into two groups that
/// take turns, so each append waits for two syncs. Waiting briefly for as many producers as were
/// just answered merges them into one group. (`PostgreSQL`'s `commit_delay` and Tandem's commit
/// timer are the same idea.) The writer never lingers for a lone producer.
#[derive(Default)]
pub(super) struct Linger {
    expected: usize,
    /// The moving average of sync times.
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
        // Requests that are waiting already belong to the other group and do not count.
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

/// The longest wait for the next of the producers that were just answered.
const LINGER_MAX: Duration = Duration::from_micros(30);
