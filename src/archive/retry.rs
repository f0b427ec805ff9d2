//! How long to wait before the next attempt.

use std::time::Duration;

use crate::chance::Chance;

/// Waits that grow twice as long each time, up to a cap, and are shortened by chance.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    cap: Duration,
    next: Duration,
    chance: Chance,
}

impl Backoff {
    pub(super) fn new(cap: Duration, seed: u64) -> Self {
        Self {
            cap,
            next: FIRST,
            chance: Chance::new(seed),
        }
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The wait after a failure: between a half of it and all of it, so that many who failed together
    /// do not come back together.
    pub(super) fn wait(&mut self) -> Duration {
        let longest = self.next.min(self.cap);
        self.next = longest.saturating_mul(2);
        longest / 2 + longest.mul_f64(self.fraction() / 2.0)
    }

    /// From 0 to 1 (splitmix64).
    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.chance.next() >> 32).expect("32 bits are left"))
            / f64::from(u32::MAX)
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
