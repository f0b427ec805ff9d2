//! Wakers that are collected under a lock and called after it is released.

use std::task::Waker;

use crate::small_deque::SmallDeque;

/// Callers to be woken on drop: all of them, even if a waker panics. Must not be dropped under a
/// lock.
#[derive(Default)]
#[must_use = "a caller that is not woken waits forever"]
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
