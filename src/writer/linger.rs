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
    backoff: Backoff,
}

/// How many waits are left out because the processor is wanted by other programs.
///
/// A writer that yields to them gets the processor back after a time slice, which is longer than many syncs.
#[derive(Default)]
struct Backoff {
    left_out: u32,
    /// How many were left out the last time, halved by each wait that was not interrupted.
    last: u32,
}

impl Linger {
    pub(super) fn note(&mut self, count: usize, sync_time: Duration) {
        self.sync_time = (self.sync_time * 7 + sync_time) / 8;
        self.expected = if count >= 2 { count } else { 0 };
    }

    pub(super) async fn wait(&mut self, executor: Executor, inbox: &Inbox) {
        let expected = std::mem::take(&mut self.expected);
        if expected == 0 || !self.backoff.allows() {
            return;
        }
        let started = executor.now();
        let patience = LINGER_MAX.min(self.sync_time / 4);
        let limit = started + self.sync_time / 2;
        // Requests that are waiting already belong to the other group and do not count.
        let mut waiting = inbox.len();
        let wanted = waiting + expected;
        let mut deadline = started + patience;
        let (mut now, mut longest) = (started, Duration::ZERO);
        while waiting < wanted && now < deadline.min(limit) && executor.yield_now().await {
            let yielded = std::mem::replace(&mut now, executor.now());
            longest = longest.max(now.saturating_duration_since(yielded));
            let came = inbox.len();
            if came > waiting {
                waiting = came;
                deadline = now + patience;
            }
        }
        self.backoff.note(longest);
    }
}

impl Backoff {
    /// Whether the next wait is not left out.
    fn allows(&mut self) -> bool {
        let is_over = self.left_out == 0;
        self.left_out = self.left_out.saturating_sub(1);
        is_over
    }

    /// Records the longest time that a yield took.
    fn note(&mut self, longest: Duration) {
        if longest < TIME_SLICE {
            self.last /= 2;
            return;
        }
        // One such yield may be chance, and then costs a single wait.
        self.last = (self.last * 2).clamp(1, LEFT_OUT_MAX);
        self.left_out = self.last;
    }
}

/// The longest wait for the next of the producers that were just answered.
const LINGER_MAX: Duration = Duration::from_micros(30);

/// A yield that took this long has most likely let another program run for its time slice. On an idle machine,
/// yields to the producers' threads are seldom as long.
const TIME_SLICE: Duration = Duration::from_millis(1);

const LEFT_OUT_MAX: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of waits that are left out before the next one.
    fn left_out(backoff: &mut Backoff) -> u32 {
        let mut left_out = 0;
        while !backoff.allows() {
            left_out += 1;
        }
        left_out
    }

    #[test]
    fn waits_are_left_out_while_other_programs_get_the_processor() {
        let mut backoff = Backoff::default();
        let counts = (0..12).map(|_| {
            backoff.note(TIME_SLICE);
            left_out(&mut backoff)
        });
        assert!(counts.eq([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024]));
    }

    #[test]
    fn waits_that_are_not_interrupted_are_not_left_out_and_forget() {
        let mut backoff = Backoff::default();
        for _ in 0..3 {
            backoff.note(TIME_SLICE);
            left_out(&mut backoff);
        }
        for _ in 0..2 {
            backoff.note(TIME_SLICE / 2);
            assert_eq!(left_out(&mut backoff), 0);
        }
        backoff.note(TIME_SLICE);
        assert_eq!(left_out(&mut backoff), 2);
    }
}
