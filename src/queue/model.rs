//! Checks interleavings of callers and the writer at every lock and atomic. For one caller it runs
//! all of them if there are fewer than a bound, and otherwise the first ones up to the bound. For
//! four callers it runs many random ones.
//!
//!     RUSTFLAGS='--cfg tidewal_shuttle --cfg tidewal_mutants' \
//!         cargo test --lib --target-dir target/shuttle queue::model
//!
//! A caller that is never woken is a deadlock, which the checker reports. The answers to callers,
//! and the state of the queue at the end, are asserted here. The clock stands still, so no offer of
//! room expires: `wait_list/tests.rs` enumerates what offers do.

use std::future::{Future, poll_fn};
use std::panic::catch_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shuttle::future::block_on;
use shuttle::scheduler::DfsScheduler;
use shuttle::{Config, Runner, thread};

use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, activate};
use crate::options::Durability;
use crate::queue::append::{Append, Payload, Payloads};
use crate::queue::completion::Completion;
use crate::queue::cost::Cost;
use crate::queue::enter_future::{Appending, Entering};
use crate::queue::request::{Request, Taken};
use crate::queue::shared::Shared;
use crate::queue::wait_list::Turn;
use crate::stats::counters::Counters;

/// A queue with room for `records` records.
fn queue(records: usize) -> Arc<Shared> {
    let size = Cost {
        bytes: 1000,
        records,
    };
    let counters = Counters::new(Instant::now(), "");
    Arc::new(Shared::new(size, Executor::Thread, counters))
}

fn append() -> Append {
    Append {
        payloads: Payloads::One(Payload::new(Bytes::from_static(b"x"))),
        durability: Durability::Durable,
        order: None,
        submitted: None,
        weight: 0,
        busy_poll: Duration::ZERO,
    }
}

/// The writer's answer to appends that it has taken. It cannot answer `Ok`, because it has no
/// receipt.
const ANSWER: Error = Error::EmptyBatch;

/// Takes and answers requests until no more will come. May close the queue after the first batch,
/// like a log that has failed.
fn write(shared: &Shared, closes_early: bool) {
    while block_on(poll_fn(|context| shared.poll_waiting(context))) {
        let mut taken = Taken::default();
        shared.take(&mut taken);
        if closes_early {
            shared.close();
        }
        let mut places = Cost::default();
        for request in taken.requests.drain(..) {
            match request {
                Request::Append(note) => places += note.cost,
                Request::Sync(done) => {
                    done.fail(ANSWER);
                    shared.release_controls(1);
                }
                Request::FlushNow => shared.note_flush_request(),
                _ => unreachable!("it was not asked for"),
            }
        }
        assert_eq!(taken.frames.len(), places.bytes);
        // A log that has failed writes nothing, so no room becomes free.
        if !closes_early {
            shared.release(places);
        }
        taken.acks.refuse(&ANSWER);
    }
}

/// An append that waits from the beginning. Returns whether it was in the queue.
async fn append_and_wait(shared: Arc<Shared>) -> bool {
    match Appending::new(&shared, append()).await {
        Ok(answer) => is_answer(&answer),
        Err(error) => is_refusal(&error),
    }
}

/// An append whose caller polls for the answer later.
async fn submit_and_wait(shared: Arc<Shared>) -> bool {
    match Entering::new(&shared, append()).await {
        Ok(ack) => is_answer(&ack.await),
        Err(error) => is_refusal(&error),
    }
}

/// The same, after one poll with another waker.
async fn submit_and_look(shared: Arc<Shared>) -> bool {
    match Entering::new(&shared, append()).await {
        Ok(mut ack) => match poll_once(Pin::new(&mut ack)) {
            Poll::Ready(answer) => is_answer(&answer),
            Poll::Pending => is_answer(&ack.await),
        },
        Err(error) => is_refusal(&error),
    }
}

/// An append that is dropped after one poll. Returns whether it had its answer.
async fn append_and_drop(shared: Arc<Shared>) -> bool {
    let mut appending = pin!(Appending::new(&shared, append()));
    match poll_fn(|context| Poll::Ready(appending.as_mut().poll(context))).await {
        Poll::Ready(Err(error)) => is_refusal(&error),
        _ => false,
    }
}

async fn ask(shared: Arc<Shared>) -> bool {
    let (done, reply) = Completion::<Lsn>::new();
    match Entering::new(&shared, Some(Request::Sync(done))).await {
        Ok(()) => is_answer(&reply.await),
        Err(error) => is_refusal(&error),
    }
}

fn is_answer(answer: &Result<Lsn>) -> bool {
    assert!(matches!(answer, Err(Error::EmptyBatch)), "{answer:?}");
    true
}

fn is_refusal(error: &Error) -> bool {
    assert!(matches!(error, Error::Closed), "{error:?}");
    false
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

type Caller = fn(Arc<Shared>) -> Pin<Box<dyn Future<Output = bool> + Send>>;

/// The callers, each on a thread, and the writer on this one. The last caller to finish closes the
/// queue, unless the writer does.
#[derive(Clone, Copy)]
struct Scenario {
    callers: &'static [Caller],
    /// Whether the one slot in the queue is taken when the callers begin.
    is_full: bool,
    closes_early: bool,
}

impl Scenario {
    fn run(self) {
        let shared = queue(1);
        if self.is_full {
            let entered = shared.enter(&mut append(), &mut { Turn::NEW }, None);
            assert!(entered.is_ok());
        }
        let left = Arc::new(AtomicUsize::new(self.callers.len()));
        let callers = self.callers.iter().map(|caller| {
            let (shared, left) = (Arc::clone(&shared), Arc::clone(&left));
            thread::spawn(move || {
                block_on(caller(Arc::clone(&shared)));
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    shared.close();
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        write(&shared, self.closes_early);
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
        let state = shared.lock();
        for list in [&state.appends, &state.controls] {
            let is_free = list.used() == Cost::default();
            assert!(is_free || self.closes_early, "a place is lost");
            assert_eq!(list.promised(), Cost::default(), "an offer is lost");
            assert!(!list.is_waited_for());
        }
    }

    /// Runs every interleaving, up to [`MOST`]. Returns how many it ran.
    fn run_all(self) -> usize {
        let runner = Runner::new(DfsScheduler::new(Some(MOST), false), Config::default());
        runner.run(move || self.run())
    }
}

const MOST: usize = 100_000;

macro_rules! callers {
    ($($name:ident),*) => {{
        const CALLERS: &[Caller] = &[$(|shared| Box::pin($name(shared))),*];
        CALLERS
    }};
}

/// Everything that a single caller can do.
const ALONE: [&[Caller]; 5] = [
    callers![append_and_wait],
    callers![append_and_drop],
    callers![submit_and_wait],
    callers![submit_and_look],
    callers![ask],
];

const TOGETHER: &[Caller] = callers![append_and_wait, append_and_drop, submit_and_look, ask];

fn scenarios(callers: &'static [Caller]) -> impl Iterator<Item = Scenario> {
    let pairs = [false, true]
        .into_iter()
        .flat_map(|is_full| [(is_full, false), (is_full, true)]);
    pairs.map(move |(is_full, closes_early)| Scenario {
        callers,
        is_full,
        closes_early,
    })
}

#[test]
fn one_caller_and_the_writer_in_every_interleaving_up_to_a_bound() {
    let counts = ALONE.into_iter().flat_map(scenarios).map(Scenario::run_all);
    let counts: Vec<_> = counts.collect();
    let whole = counts.iter().filter(|count| **count < MOST).count();
    println!("{counts:?} interleavings");
    assert!(
        whole >= 6,
        "only {whole} scenarios were run in every interleaving"
    );
}

/// There are too many interleavings to run all.
#[test]
fn four_callers_and_the_writer_in_many_interleavings() {
    for scenario in scenarios(TOGETHER) {
        shuttle::check_random(move || scenario.run(), 10_000);
        shuttle::check_pct(move || scenario.run(), 10_000, 4);
    }
}

#[test]
fn every_mutant_of_the_queue_is_found() {
    for mutant in [
        Mutant::WriterNotWoken,
        Mutant::AckOvertaken,
        Mutant::OfferKept,
        Mutant::WaitListNotClosed,
    ] {
        activate(Some(mutant));
        let found = catch_unwind(|| {
            ALONE.into_iter().flat_map(scenarios).for_each(|scenario| {
                scenario.run_all();
            });
        });
        activate(None);
        assert!(found.is_err(), "{mutant:?}");
    }
}
