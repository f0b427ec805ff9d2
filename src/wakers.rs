//! Wakers on their way out of a lock.

use std::task::Waker;

use crate::small_deque::SmallDeque;

/// Callers to be woken: all of them, even if a waker panics. Not to be dropped under a lock.
#[derive(Default)]
#[must_use = "who is not woken waits for ever"]
pub(crate) struct Wakers(SmallDeque<Waker>);

impl Wakers {
    pub(crate) fn push(&mut self, waker: Waker) {
        self.0.push(waker);
    }

    pub(crate) fn wake(mut self) {
        self.wake_rest();
    }

    fn wake_rest(&mut self) {
        while let Some(waker) = self.0.pop_front() {
            waker.wake();
        }
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.wake_rest();
    }
}

impl FromIterator<Waker> for Wakers {
    fn from_iter<I: IntoIterator<Item = Waker>>(wakers: I) -> Self {
        Self(wakers.into_iter().collect())
    }
}
