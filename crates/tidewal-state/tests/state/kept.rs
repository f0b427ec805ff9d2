//! Futures that are kept without being polled, and callers that wait for room.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::{Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;
use futures::poll;
use serde::{Deserialize, Serialize};
use tidewal::sim::SimDisk;
use tidewal::typed::{BoxError, Json, Logged};
use tidewal::{Lsn, SyncPolicy};
use tidewal_state::{SnapshotFormat, State, StateMachine};
use tidewal_testing::support::{self, run, within_a_minute};

use crate::ledger::{DIR, ids, options, padded, transfer};

/// Polls a future up to `polls` times, and lets every other task run in between. Returns whether it
/// has completed.
async fn poll_some<F: Future>(mut future: Pin<&mut F>, polls: usize) -> bool {
    for _ in 0..polls {
        if poll!(future.as_mut()).is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// A large command waited until no other was in flight, and small ones kept coming.
#[test]
fn regression_small_commands_do_not_keep_a_large_one_waiting() {
    run(async {
        let disk = SimDisk::new(1);
        let log = support::options().sync_policy(SyncPolicy::Manual);
        let machine = options().log(log).in_flight_bytes(400);
        let machine = machine.open_on(&disk, DIR).await.unwrap();
        let mut large = Box::pin(machine.submit(padded(1000, 600)));
        for id in 0..100 {
            let mut small = machine.submit(transfer(id)).await.unwrap();
            assert!(poll!(&mut small).is_pending(), "one is always in flight");
            if poll!(large.as_mut()).is_ready() {
                return;
            }
            machine.sync().await.unwrap();
            small.await.unwrap();
        }
        panic!(
            "it waits for as long as small ones come: {:?}",
            ids(&machine)
        );
    });
}

/// The task that applies commands went on for as long as there were durable ones.
#[test]
fn regression_other_tasks_get_their_turn_while_many_commands_are_applied() {
    run(async {
        let disk = SimDisk::new(1);
        let log = support::options().sync_policy(SyncPolicy::Manual);
        let machine = options().log(log).open_on(&disk, DIR).await.unwrap();
        let mut pending = Vec::new();
        for id in 0..1000 {
            pending.push(machine.submit(transfer(id)).await.unwrap());
        }
        let watching = machine.clone();
        let watch = tokio::spawn(async move {
            let (mut applied, mut most) = (0, 0);
            poll_fn(|context| {
                let now = watching.stats().applied.get();
                most = most.max(now - applied);
                applied = now;
                // Last in the queue of tasks.
                context.waker().wake_by_ref();
                match applied < 1000 {
                    true => Poll::Pending,
                    false => Poll::Ready(most),
                }
            })
            .await
        });
        machine.sync().await.unwrap();
        let most = watch.await.unwrap();
        assert!(most <= 256, "{most} were applied in one turn");
        let outputs = join_all(pending).await;
        assert!(outputs.iter().all(Result::is_ok));
    });
}

/// However large the commands are: what is in flight exceeds the bound by one command at most.
#[test]
fn room_is_bounded_whatever_the_size() {
    run(async {
        let disk = SimDisk::new(1);
        let log = support::options().sync_policy(SyncPolicy::Manual);
        let machine = options().log(log).in_flight_bytes(400);
        let machine = machine.open_on(&disk, DIR).await.unwrap();
        let small = machine.submit(transfer(0)).await.unwrap();
        let mut waiting: Vec<_> = (1..5)
            .map(|id| Box::pin(machine.submit(padded(id, 600))))
            .collect();
        let mut entered = Vec::new();
        for waiting in &mut waiting {
            if poll_some(waiting.as_mut(), 10).await {
                entered.push(());
            }
        }
        assert!(entered.len() <= 1, "{} of 4 are in flight", entered.len());
        machine.sync().await.unwrap();
        small.await.unwrap();
    });
}

/// A future of `close` that was kept while it waited for the end of a snapshot made every later
/// snapshot and every other `close` wait.
#[test]
fn regression_a_future_of_close_that_is_not_polled_keeps_no_caller_waiting() {
    within_a_minute(|| {
        let (frozen, is_frozen) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        *GATE.lock().unwrap() = Some((frozen, may_go_on));
        // One thread is blocked while the state is frozen.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(async {
            let disk = SimDisk::new(1);
            let options = StateMachine::<Gated>::options().log(support::options());
            let machine = options.open_on(&disk, DIR).await.unwrap();
            machine.execute(Ask).await.unwrap();
            let other = machine.clone();
            let snapshot = tokio::spawn(async move { other.snapshot().await });
            is_frozen.recv().unwrap();
            let mut kept = Box::pin(machine.clone().close());
            // The log is closed once its directory can be locked. What `close` does then takes a few
            // polls.
            loop {
                assert!(
                    !poll_some(kept.as_mut(), 1).await,
                    "the snapshot ends first"
                );
                std::thread::yield_now();
                let log = support::options().lock_timeout(Duration::ZERO);
                if log.lock_on(&disk, DIR).await.is_ok() {
                    break;
                }
            }
            for _ in 0..200 {
                assert!(
                    !poll_some(kept.as_mut(), 1).await,
                    "the snapshot ends first"
                );
                std::thread::yield_now();
            }
            go_on.send(()).unwrap();
            let _ = snapshot.await.unwrap();
            let _ = machine.snapshot().await;
            machine.close().await.unwrap();
            drop(kept);
        });
    });
}

/// A state that is frozen slowly: the test says when that ends.
#[derive(Default)]
struct Gated;

type Gate = (mpsc::Sender<()>, mpsc::Receiver<()>);

static GATE: Mutex<Option<Gate>> = Mutex::new(None);

impl State for Gated {
    type Command = Ask;
    type Output = ();
    type Snapshot = Self;

    fn apply(&mut self, _: Lsn, _: Ask) {}
}

impl SnapshotFormat<Gated> for Gated {
    type Frozen = ();

    fn freeze(_: &Gated) {
        if let Some((frozen, may_go_on)) = GATE.lock().unwrap().take() {
            frozen.send(()).unwrap();
            // A blocked worker would keep the tasks that it was about to run.
            tokio::task::block_in_place(|| may_go_on.recv().unwrap());
        }
    }

    fn write((): (), _: &mut dyn Write) -> Result<(), BoxError> {
        Ok(())
    }

    fn read(_: u32, _: &mut dyn Read) -> Result<Gated, BoxError> {
        Ok(Gated)
    }
}

/// A state that asks its own state machine for figures while it is applied.
#[derive(Clone, Default, Deserialize, Serialize)]
struct Asking;

#[derive(Deserialize, Serialize)]
struct Ask;

impl Logged for Ask {
    type Codec = Json;
}

thread_local! {
    static ASKED: RefCell<Option<StateMachine<Asking>>> = const { RefCell::new(None) };
}

impl State for Asking {
    type Command = Ask;
    type Output = (u64, String);
    type Snapshot = Json;

    fn apply(&mut self, _: Lsn, _: Ask) -> (u64, String) {
        ASKED.with_borrow(|machine| figures(machine.as_ref().unwrap()))
    }
}

fn figures(machine: &StateMachine<Asking>) -> (u64, String) {
    (machine.stats().applied.get(), format!("{machine:?}"))
}

/// The lock was taken twice, and a command that waited in between kept both waiting. Figures take no
/// lock: neither that of a query, nor the one that is held while a command is applied.
#[test]
fn regression_a_query_may_ask_for_figures_while_a_command_waits_for_it() {
    within_a_minute(|| {
        run(async {
            let disk = SimDisk::new(1);
            let options = StateMachine::options().log(support::options());
            let machine = options.open_on(&disk, DIR).await.unwrap();
            ASKED.set(Some(machine.clone()));
            let shown = "StateMachine { applied: Lsn(1), .. }";
            assert_eq!(machine.execute(Ask).await.unwrap().0, 0);
            let pending = machine.submit(Ask).await.unwrap();
            let asked = machine.query(|_| figures(&machine)).unwrap();
            assert_eq!(asked, (1, shown.to_owned()));
            assert_eq!(pending.await.unwrap(), (1, shown.to_owned()));
            assert_eq!(machine.stats().applied.get(), 2);
            ASKED.take();
        });
    });
}
