//! Where the log's background work runs.
//!
//! In production each task has a named thread of its own and does its I/O inline, so no sync blocks
//! a worker thread of the service's runtime or waits for a place in its blocking pool. Over the
//! simulated disk the same futures run on the caller's runtime, under its clock, which a test may
//! pause.
//!
//! A thread runs its future with a few lines of parking instead of a tokio runtime, because tokio's timer
//! counts in milliseconds, and an interval of half a millisecond is useful here.

use std::cell::Cell;
use std::future;
use std::future::Future;
#[cfg(feature = "sim")]
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::error::IoFailure;

/// Where futures run, and which clock they use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Executor {
    /// A thread for each future.
    Thread,
    /// The tokio runtime of the caller.
    #[cfg(feature = "sim")]
    Runtime,
}

impl Executor {
    /// Runs `job` in the background, for the log in `dir`.
    pub(crate) fn run<F>(self, name: &str, dir: &Path, job: F) -> Result<(), IoFailure>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let started = match self {
            Self::Thread => thread::Builder::new()
                .name(name.into())
                .spawn(|| block_on(job))
                .map(drop),
            #[cfg(feature = "sim")]
            Self::Runtime => tokio::runtime::Handle::try_current()
                .map(|runtime| drop(runtime.spawn(job)))
                .map_err(io::Error::other),
        };
        started.map_err(|error| IoFailure::new("start a thread for", dir, error))
    }

    /// Runs a future on the calling thread, which blocks for at most `limit`. Returns `None` after
    /// a timeout.
    ///
    /// Over a simulated disk, nothing else runs and no time passes while the caller blocks. A
    /// future that waits for anything never completes there.
    #[cfg(feature = "tools")]
    pub(crate) fn block_on<T>(self, limit: Duration, job: impl Future<Output = T>) -> Option<T> {
        let job = async { Some(job.await) };
        match self {
            Self::Thread => {
                let deadline = self.now().checked_add(limit);
                block_on(race(job, async {
                    self.sleep_until(deadline).await;
                    None
                }))
            }
            #[cfg(feature = "sim")]
            Self::Runtime => block_on(race(job, future::ready(None))),
        }
    }

    /// The time on this executor's clock.
    pub(crate) fn now(self) -> Instant {
        match self {
            #[cfg(all(test, tidewal_shuttle))]
            Self::Thread => *STILL,
            #[cfg(not(all(test, tidewal_shuttle)))]
            Self::Thread => Instant::now(),
            #[cfg(feature = "sim")]
            Self::Runtime => tokio::time::Instant::now().into_std(),
        }
    }

    /// Waits until `deadline`, or forever if there is none.
    ///
    /// Cancel safe: it holds nothing but the deadline.
    pub(crate) async fn sleep_until(self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return future::pending().await;
        };
        match self {
            Self::Thread => future::poll_fn(|_| poll_deadline(deadline)).await,
            #[cfg(feature = "sim")]
            Self::Runtime => tokio::time::sleep_until(deadline.into()).await,
        }
    }

    /// Puts the calling thread to sleep for `time`. On a runtime it does nothing, because its other
    /// tasks would wait too.
    #[cfg(feature = "snapshot")]
    pub(crate) fn pause(self, time: Duration) {
        match self {
            Self::Thread => thread::sleep(time),
            #[cfg(feature = "sim")]
            Self::Runtime => {}
        }
    }

    /// Lets other threads run for a moment. Returns whether it makes sense to call it again.
    #[cfg_attr(
        not(feature = "sim"),
        expect(clippy::unused_async, reason = "a runtime has to be left")
    )]
    pub(crate) async fn yield_now(self) -> bool {
        match self {
            Self::Thread => {
                thread::yield_now();
                true
            }
            #[cfg(feature = "sim")]
            Self::Runtime => {
                tokio::task::yield_now().await;
                false
            }
        }
    }
}

/// The model checker replays executions, so the clock must not move.
#[cfg(all(test, tidewal_shuttle))]
static STILL: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

thread_local! {
    /// The earliest deadline that the future on this thread waits for.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on the current thread, parked while there is nothing to do.
fn block_on<T>(job: impl Future<Output = T>) -> T {
    let mut job = pin!(job);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        DEADLINE.set(None);
        if let Poll::Ready(value) = job.as_mut().poll(&mut context) {
            return value;
        }
        match DEADLINE.get() {
            None => thread::park(),
            Some(deadline) => thread::park_timeout(left_until(deadline)),
        }
    }
}

fn poll_deadline(deadline: Instant) -> Poll<()> {
    if left_until(deadline).is_zero() {
        return Poll::Ready(());
    }
    let earliest = DEADLINE.get().map_or(deadline, |other| other.min(deadline));
    DEADLINE.set(Some(earliest));
    Poll::Pending
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Resolves to the output of the future that is ready first, and on a tie to that of the first.
///
/// The other future is dropped, so both must be cancel safe.
pub(crate) async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    future::poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(value),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await
}
