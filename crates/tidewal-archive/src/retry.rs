//! The loop that retries calls of the store, and its waits. (A claim that another archiver has overtaken begins
//! again in `shipper`, with the waits from here.)

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use object_store::path::Path;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::status::Status;

/// Retries calls whose error may be temporary, and reports failures in the status.
pub(super) struct Retry {
    /// How long one call of the store may take.
    timeout: Duration,
    backoff: Mutex<Backoff>,
    status: watch::Sender<Status>,
}

impl Retry {
    pub(super) fn new(timeout: Duration, backoff: Backoff, status: watch::Sender<Status>) -> Self {
        Self {
            timeout,
            backoff: Mutex::new(backoff),
            status,
        }
    }

    pub(super) fn status(&self) -> &watch::Sender<Status> {
        &self.status
    }

    /// Retries a call of the store until it succeeds or fails permanently. An attempt that takes longer than the
    /// timeout is abandoned.
    pub(super) async fn call<T, F: Future<Output = Result<T>>>(
        &self,
        action: &'static str,
        object: &Path,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        self.run(|| within(self.timeout, action, object, attempt()))
            .await
    }

    /// Retries until the attempt succeeds or fails permanently.
    pub(super) async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        loop {
            match attempt().await {
                Ok(value) => {
                    self.note_success();
                    return Ok(value);
                }
                Err(error) if error.ends_archiver() => return Err(error),
                Err(error) => self.pause(error).await,
            }
        }
    }

    /// Notes a failure, and waits before the next attempt.
    pub(super) async fn pause(&self, error: Error) {
        self.status.send_modify(|status| {
            status.failures += 1;
            status.last_error = Some(error);
        });
        let wait = self.with_backoff(Backoff::wait);
        tokio::time::sleep(wait).await;
    }

    /// Notes that the archive was checked and does not belong to another log.
    pub(super) fn note_looked(&self) {
        self.note_success();
        let set = |status: &mut Status| !std::mem::replace(&mut status.has_looked, true);
        self.status.send_if_modified(set);
    }

    fn note_success(&self) {
        self.with_backoff(Backoff::reset);
        self.status
            .send_if_modified(|status| status.last_error.take().is_some());
    }

    fn with_backoff<T>(&self, change: impl FnOnce(&mut Backoff) -> T) -> T {
        change(&mut self.backoff.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Abandons an attempt after this time.
async fn within<T>(
    time: Duration,
    action: &'static str,
    object: &Path,
    attempt: impl Future<Output = Result<T>>,
) -> Result<T> {
    let answered = tokio::time::timeout(time, attempt).await;
    answered.unwrap_or_else(|_| {
        Err(Error::TimedOut {
            action,
            object: object.to_string(),
        })
    })
}

/// Waits that double each time, up to a cap, and are shortened at random.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    cap: Duration,
    next: Duration,
    /// The state of `SplitMix64` (Steele, Lea, Flood 2014).
    random: u64,
}

impl Backoff {
    pub(super) fn new(cap: Duration, seed: u64) -> Self {
        Self {
            cap,
            next: FIRST,
            random: seed,
        }
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait, at random between a half of it and all of it, so that many archivers that failed together do
    /// not all retry together.
    pub(super) fn wait(&mut self) -> Duration {
        let longest = self.next.min(self.cap);
        self.next = longest.saturating_mul(2);
        longest / 2 + longest.mul_f64(self.fraction() / 2.0)
    }

    /// A random number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits are left");
        f64::from(high) / f64::from(u32::MAX)
    }
}

const FIRST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_anew() {
        let cap = Duration::from_secs(1);
        for seed in 0..100 {
            let mut backoff = Backoff::new(cap, seed);
            for longest in [100, 200, 400, 800, 1000, 1000] {
                let longest = Duration::from_millis(longest);
                let wait = backoff.wait();
                assert!(
                    longest / 2 <= wait && wait <= longest,
                    "seed {seed}: {wait:?}"
                );
            }
            backoff.reset();
            assert!(backoff.wait() <= FIRST, "seed {seed}");
        }
    }

    #[test]
    fn two_seeds_wait_differently_and_one_always_the_same() {
        let wait = |seed| Backoff::new(Duration::from_secs(1), seed).wait();
        assert_ne!(wait(1), wait(2));
        assert_eq!(wait(1), wait(1));
    }
}
