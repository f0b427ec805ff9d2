//! Callers that poll for their answers before they sleep.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Appending;
use crate::error::Error;
use crate::executor::Executor;
use crate::options::Durability;
use crate::queue::append::{Append, Payload, Payloads};
use crate::queue::cost::Cost;
use crate::queue::request::Taken;
use crate::queue::shared::Shared;
use crate::stats::counters::Counters;

fn queue() -> Arc<Shared> {
    let size = Cost {
        bytes: 1000,
        records: 10,
    };
    let counters = Counters::new(Instant::now(), "");
    Arc::new(Shared::new(size, Executor::Thread, counters))
}

fn append(busy_poll: Duration) -> Append {
    Append {
        payloads: Payloads::One(Payload::new(Bytes::from_static(b"x"))),
        durability: Durability::Durable,
        order: None,
        submitted: None,
        weight: 0,
        busy_poll,
    }
}

/// Answers the next append, once there is one.
fn answer(shared: &Shared) {
    let mut taken = Taken::default();
    while taken.is_empty() {
        shared.take(&mut taken);
        thread::yield_now();
    }
    taken.refuse(&Error::EmptyBatch);
}

#[test]
fn a_caller_that_finds_the_log_idle_has_its_answer_when_it_is_first_polled() {
    let shared = queue();
    shared.set_idle(true);
    let writer = Arc::clone(&shared);
    let writer = thread::spawn(move || answer(&writer));
    let mut appending = pin!(Appending::new(&shared, append(Duration::from_secs(60))));
    let polled = appending
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(Err(Error::EmptyBatch)))));
    writer.join().unwrap();
}

#[test]
fn a_caller_that_finds_the_log_busy_does_not_look() {
    let shared = queue();
    let mut appending = pin!(Appending::new(&shared, append(Duration::from_secs(60))));
    let started = Instant::now();
    let polled = appending
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending() && started.elapsed() < Duration::from_secs(60));
}

struct Wakes(AtomicBool);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_caller_that_has_looked_in_vain_is_woken() {
    let shared = queue();
    shared.set_idle(true);
    let flag = Arc::new(Wakes(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut appending = pin!(Appending::new(&shared, append(Duration::from_millis(1))));
    let mut poll = || appending.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    answer(&shared);
    assert!(flag.0.load(Ordering::SeqCst));
    assert!(matches!(poll(), Poll::Ready(Ok(Err(Error::EmptyBatch)))));
}

/// A caller appends again as soon as it has its answer, before the writer looks at the queue. It may poll for
/// the next answer nevertheless.
#[test]
fn a_log_that_is_said_to_be_idle_is_so_until_an_append_is_taken() {
    let shared = queue();
    shared.set_idle(true);
    let mut taken = Taken::default();
    shared.take(&mut taken);
    assert!(shared.is_idle(), "nothing was taken");

    let mut appending = pin!(Appending::new(&shared, append(Duration::ZERO)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(appending.as_mut().poll(&mut context).is_pending());
    shared.take(&mut taken);
    assert!(!shared.is_idle());
    taken.refuse(&Error::EmptyBatch);
    assert!(appending.poll(&mut context).is_ready());
}
