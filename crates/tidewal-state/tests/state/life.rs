//! The life of a state machine: execute, query, close, reopen.

use futures::future::join_all;
use tidewal::Durability;
use tidewal::sim::{SimDisk, Survival};
use tidewal_state::{Error, StateMachine};
use tidewal_testing::support::{self, run, within_a_minute};

use crate::ledger::{DIR, Ledger, PANICS, Transfer, ids, open, options, padded, transfer};

#[test]
fn what_was_answered_is_there_after_a_power_cut() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        for id in 0..10 {
            let receipt = machine.execute(transfer(id)).await.unwrap();
            assert_eq!(receipt.position as u64, id);
        }
        disk.restart(Survival::Nothing);
        let machine = open(&disk).await;
        assert_eq!(ids(&machine), (0..10).collect::<Vec<_>>());
        assert_eq!(machine.stats().applied.get(), 10);
    });
}

/// Commands are durable, whatever the options of the log say.
#[test]
fn the_durability_of_the_log_is_ignored() {
    run(async {
        let disk = SimDisk::new(1);
        let log = support::options().durability(Durability::Written);
        let machine = options().log(log).open_on(&disk, DIR).await.unwrap();
        machine.execute(transfer(0)).await.unwrap();
        disk.restart(Survival::Nothing);
        assert_eq!(ids(&open(&disk).await), [0]);
    });
}

/// The same with threads on the real disk, many calls at once.
#[test]
fn it_works_on_the_machines_disk() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let machine = StateMachine::<Ledger>::open(dir.path()).await.unwrap();
            let tasks = (0..8).map(|task| {
                let machine = machine.clone();
                tokio::spawn(async move {
                    for id in 0..100 {
                        let receipt = machine.execute(transfer(task * 100 + id)).await.unwrap();
                        let len = machine.query(|ledger| ledger.history.len()).unwrap();
                        assert!(len > receipt.position, "an answer before it was applied");
                    }
                })
            });
            join_all(tasks)
                .await
                .into_iter()
                .for_each(|task| task.unwrap());
            assert_eq!(machine.snapshot().await.unwrap().get(), 800);
            machine.execute(transfer(800)).await.unwrap();
            let before = machine.query(Ledger::clone).unwrap();
            machine.close().await.unwrap();
            let machine = StateMachine::<Ledger>::open(dir.path()).await.unwrap();
            assert_eq!(machine.query(Ledger::clone).unwrap(), before);
            assert_eq!(machine.stats().records_since_snapshot, 1);
        });
    });
}

#[test]
fn a_refusal_is_decided_in_the_order_of_the_log() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let large = |id, amount| Transfer {
            amount,
            ..transfer(id)
        };
        // Each of them fits alone, but not both together.
        let both = tokio::join!(machine.execute(large(0, 80)), machine.execute(large(3, 80)));
        assert_eq!(both.0.unwrap().balance, Ok(20));
        both.1.unwrap().balance.unwrap_err();
        drop(machine);
        let machine = open(&disk).await;
        assert_eq!(machine.query(|ledger| ledger.balances[&0]).unwrap(), 20);
    });
}

/// A future that is not polled, or is dropped, leaves no gap, and its command is applied.
#[test]
fn a_dropped_future_leaves_no_gap() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        drop(machine.submit(transfer(0)).await.unwrap());
        let kept = machine.submit(transfer(1)).await.unwrap();
        let mut dropped = Box::pin(machine.execute(transfer(2)));
        assert!(futures::poll!(dropped.as_mut()).is_pending());
        drop(dropped);
        drop(machine.execute(transfer(9)));
        machine.execute(transfer(3)).await.unwrap();
        assert_eq!(ids(&machine), [0, 1, 2, 3]);
        assert_eq!(kept.await.unwrap().position, 1);
    });
}

/// Room is not reserved for a waiting caller: a future that is kept without being polled makes no
/// other caller wait.
#[test]
fn a_future_that_is_not_polled_makes_no_other_caller_wait() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = options()
            .in_flight_bytes(1)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        let first = machine.submit(transfer(0)).await.unwrap();
        let mut stuck: Vec<_> = (1..4)
            .map(|id| Box::pin(machine.execute(transfer(id))))
            .collect();
        for stuck in &mut stuck {
            assert!(futures::poll!(stuck.as_mut()).is_pending());
        }
        first.await.unwrap();
        for id in 10..20 {
            machine.execute(transfer(id)).await.unwrap();
        }
        assert_eq!(ids(&machine).len(), 11);
    });
}

/// It had room for what is on its way, and waited for a place in the log's queue.
#[test]
fn regression_a_future_that_waits_for_the_log_and_is_not_polled_keeps_no_one_waiting() {
    run(async {
        let disk = SimDisk::new(1);
        let log = support::options().queue_records(1);
        let small = options().log(log).in_flight_bytes(230);
        let machine = small.open_on(&disk, DIR).await.unwrap();
        let first = machine.submit(transfer(0)).await.unwrap();
        let mut stuck = Box::pin(machine.execute(padded(1, 200)));
        assert!(futures::poll!(stuck.as_mut()).is_pending());
        first.await.unwrap();
        machine.execute(padded(2, 100)).await.unwrap();
        assert_eq!(ids(&machine), [0, 2]);
        stuck.await.unwrap();
        assert_eq!(ids(&machine), [0, 2, 1]);
        // What was counted is given back.
        machine.execute(padded(3, 100)).await.unwrap();
    });
}

#[test]
fn a_batch_is_one_record() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let receipts = machine.execute_batch((0..3).map(transfer)).await.unwrap();
        assert_eq!(receipts.len(), 3);
        assert_eq!(receipts[2].position, 2);
        let empty = machine.execute_batch([]).await;
        assert!(matches!(empty, Err(Error::Log(tidewal::Error::EmptyBatch))));
        let history = machine.query(|ledger| ledger.history.clone()).unwrap();
        assert_eq!(history, [(1, 0), (1, 1), (1, 2)]);
        drop(machine);
        let again = open(&disk).await.query(|ledger| ledger.history.clone());
        assert_eq!(again.unwrap(), history);
    });
}

#[test]
fn a_panic_ends_the_state_and_not_the_log() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        machine.execute(transfer(0)).await.unwrap();
        let bad = Transfer {
            amount: PANICS,
            ..transfer(1)
        };
        let (panicked, after) = tokio::join!(machine.execute(bad), machine.execute(transfer(2)));
        let (Err(Error::Panicked { lsn, message, .. }), Err(Error::Panicked { .. })) =
            (&panicked, &after)
        else {
            panic!("{panicked:?}, {after:?}");
        };
        assert_eq!((lsn.get(), &**message), (2, "planned"));
        assert!(matches!(machine.query(|_| ()), Err(Error::Panicked { .. })));
        let snapshot = machine.snapshot().await;
        assert!(
            matches!(snapshot, Err(Error::Panicked { .. })),
            "{snapshot:?}"
        );
        machine.close().await.unwrap();
        let again = options().open_on(&disk, DIR).await;
        let Err(Error::Panicked { lsn, .. }) = again else {
            panic!("{again:?}");
        };
        assert_eq!(lsn.get(), 2);
        // The log still opens.
        let log = support::options();
        let wal = log.open_on(&disk, DIR).await.unwrap();
        assert_eq!(wal.durable_lsn().get(), 3);
    });
}

#[test]
fn closing_answers_what_was_submitted() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let mut pending = Vec::new();
        for id in 0..5 {
            pending.push(machine.submit(transfer(id)).await.unwrap());
        }
        let other = machine.clone();
        machine.close().await.unwrap();
        for pending in join_all(pending).await {
            pending.unwrap();
        }
        let late = other.execute(transfer(9)).await;
        assert!(
            matches!(late, Err(Error::Log(tidewal::Error::Closed))),
            "{late:?}"
        );
        assert_eq!(ids(&other).len(), 5);
        assert_eq!(ids(&open(&disk).await).len(), 5);
    });
}

/// Dropping the last handle closes the log, even while a snapshot is due later.
#[test]
fn dropping_the_last_handle_closes_the_log() {
    run(async {
        let disk = SimDisk::new(1);
        for round in 0..5 {
            let machine = open(&disk).await;
            machine.execute(transfer(round)).await.unwrap();
            let mut snapshot = Box::pin(machine.snapshot());
            assert!(futures::poll!(snapshot.as_mut()).is_pending());
            drop(snapshot);
            drop(machine);
        }
        assert_eq!(ids(&open(&disk).await).len(), 5);
    });
}

/// A task holds a handle of the log while it is truncated.
#[test]
fn dropping_the_last_handle_while_the_log_is_truncated() {
    run(async {
        let disk = SimDisk::new(1);
        for round in 0..30 {
            let machine = open(&disk).await;
            machine.execute(transfer(round)).await.unwrap();
            let mut snapshot = Box::pin(machine.snapshot());
            for _ in 0..round {
                if futures::poll!(snapshot.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(snapshot);
            drop(machine);
        }
        assert_eq!(ids(&open(&disk).await).len(), 30);
    });
}

/// The tasks end with their runtime: callers get an error and do not wait.
#[test]
fn a_runtime_that_ends_leaves_no_caller_waiting() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let first = tokio::runtime::Runtime::new().unwrap();
        let machine = first.block_on(async {
            let machine = StateMachine::<Ledger>::open(dir.path()).await.unwrap();
            machine.execute(transfer(0)).await.unwrap();
            machine
        });
        first.shutdown_background();
        let second = tokio::runtime::Runtime::new().unwrap();
        second.block_on(async {
            // The tasks may need a moment to end.
            let outcome = machine.execute(transfer(1)).await;
            assert!(outcome.is_ok() || matches!(outcome, Err(Error::Interrupted)));
            let snapshot = machine.snapshot().await;
            assert!(snapshot.is_ok() || matches!(snapshot, Err(Error::Interrupted)));
            let _ = machine.close().await;
            let machine = StateMachine::<Ledger>::open(dir.path()).await.unwrap();
            assert_eq!(ids(&machine), [0, 1]);
        });
    });
}

#[test]
fn a_poisoned_log_still_answers_queries() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        machine.execute(transfer(0)).await.unwrap();
        let operation = tidewal::sim::Operation::Sync;
        disk.fail(operation, 0, std::io::ErrorKind::Other);
        let failed = machine.execute(transfer(1)).await.unwrap_err();
        assert!(failed.is_outcome_unknown(), "{failed:?}");
        let refused = machine.execute(transfer(2)).await.unwrap_err();
        assert!(!refused.is_outcome_unknown(), "{refused:?}");
        assert_eq!(ids(&machine), [0]);
        // The durable state is kept.
        machine.snapshot().await.unwrap_err();
        drop(machine);
        disk.restart(Survival::Nothing);
        assert_eq!(ids(&open(&disk).await), [0]);
    });
}
