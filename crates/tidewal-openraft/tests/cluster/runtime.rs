//! A runtime on which every node is a separate process: its tasks can be killed and paused, and its
//! clock runs at its own rate. All nodes share one thread and one seed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openraft::TokioRuntime;
use openraft::async_runtime::{AsyncRuntime, Instant};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::AbortHandle;

use crate::watch::InOrder;

/// A process.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    /// How fast its clock runs, in thousandths.
    rate: u32,
    tasks: Mutex<Vec<AbortHandle>>,
    /// The tasks that wait while the process is paused.
    paused: Mutex<Option<Vec<Waker>>>,
}

thread_local! {
    /// The process whose task is polled.
    static CURRENT: RefCell<Option<Process>> = const { RefCell::new(None) };
    /// The seed of the next generator.
    static SEED: Cell<u64> = const { Cell::new(0) };
    static EPOCH: Cell<Option<tokio::time::Instant>> = const { Cell::new(None) };
}

/// Begins a run: starts the clock, and seeds the random choices.
pub fn begin(seed: u64) {
    SEED.set(seed);
    EPOCH.set(Some(tokio::time::Instant::now()));
}

impl Process {
    pub fn new(rate: u32) -> Self {
        Self(Arc::new(Inner {
            rate,
            tasks: Mutex::default(),
            paused: Mutex::default(),
        }))
    }

    /// Spawns a task of this process.
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = tokio::spawn(self.within(future));
        let mut tasks = self.0.tasks.lock().unwrap();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task.abort_handle());
        task
    }

    /// A future that is polled as a part of this process.
    pub fn within<F: Future>(&self, future: F) -> Within<F> {
        Within {
            process: self.clone(),
            future: Box::pin(future),
        }
    }

    pub fn kill(&self) {
        for task in self.0.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }

    pub fn pause(&self) {
        self.0.paused.lock().unwrap().get_or_insert_default();
    }

    pub fn resume(&self) {
        let waiting = self.0.paused.lock().unwrap().take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether it is paused. If so, `waker` is woken when it continues.
    fn is_paused(&self, waker: &Waker) -> bool {
        let mut paused = self.0.paused.lock().unwrap();
        if let Some(waiting) = &mut *paused {
            waiting.push(waker.clone());
        }
        paused.is_some()
    }
}

/// A future of a process.
pub struct Within<F> {
    process: Process,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.process.is_paused(context.waker()) {
            return Poll::Pending;
        }
        let outer = CURRENT.replace(Some(self.process.clone()));
        let outcome = self.future.as_mut().poll(context);
        CURRENT.set(outer);
        outcome
    }
}

fn rate() -> u32 {
    CURRENT.with_borrow(|process| process.as_ref().map_or(1000, |process| process.0.rate))
}

/// The true time that corresponds to a time by the clock of this process.
fn true_time(by_clock: Duration) -> Duration {
    by_clock * 1000 / rate() + Duration::from_micros(1)
}

/// A moment by the clock of a process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Moment(Duration);

impl Instant for Moment {
    fn now() -> Self {
        let epoch = EPOCH.get().expect("a run has begun");
        Self(epoch.elapsed() * rate() / 1000)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, time: Duration) {
        self.0 += time;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, time: Duration) {
        *self = *self - time;
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The runtime as openraft sees it.
pub struct Processes;

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Processes")
    }
}

impl AsyncRuntime for Processes {
    type JoinError = tokio::task::JoinError;
    type JoinHandle<T: Send + 'static> = tokio::task::JoinHandle<T>;
    type Sleep = tokio::time::Sleep;
    type Instant = Moment;
    type TimeoutError = tokio::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + Send> = tokio::time::Timeout<T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = InOrder;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: Send + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        let process = CURRENT.with_borrow(Clone::clone);
        process.expect("a node does it").spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(true_time(duration))
    }

    fn sleep_until(deadline: Moment) -> Self::Sleep {
        Self::sleep(deadline - Moment::now())
    }

    fn timeout<R, F: Future<Output = R> + Send>(time: Duration, future: F) -> Self::Timeout<R, F> {
        tokio::time::timeout(true_time(time), future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(
        deadline: Moment,
        future: F,
    ) -> Self::Timeout<R, F> {
        Self::timeout(deadline - Moment::now(), future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        join_error.is_panic()
    }

    fn thread_rng() -> SmallRng {
        let seed = SEED.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        SEED.set(seed);
        SmallRng::seed_from_u64(seed)
    }

    fn new(_threads: usize) -> Self {
        unreachable!("the test has a runtime")
    }

    fn block_on<F, T>(&mut self, _future: F) -> T
    where
        F: Future<Output = T>,
    {
        unreachable!("the test has a runtime")
    }
}
