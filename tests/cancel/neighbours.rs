//! Callers that share a log with a dropped future.

use futures::future::{BoxFuture, FutureExt, join, join_all};
use tidewal::sim::SimDisk;
use tidewal::{Durability, Lsn, Wal};

use crate::helpers::{
    SYNC, assert_nothing_is_queued, at_every_step, busy, drop_after, log_of, payload, read_back,
};
use crate::support::{DIR, options, policies, run};

/// `tidewal`: "Every future of this crate can be dropped at any time without harm to other callers."
#[test]
fn any_future_can_be_dropped_at_any_time_without_harm_to_other_callers() {
    for policy in policies() {
        for (name, future) in FUTURES {
            println!("{name} under {policy:?}");
            let options = options().sync_policy(policy).queue_records(2);
            at_every_step(async |steps| {
                let (disk, wal) = busy(options.clone()).await;
                let before = [(); 2].map(|()| wal.try_submit("before").unwrap());
                let dropped = drop_after(steps, future(&disk, &wal));
                let (outcome, ()) = join(dropped, live_on(&wal)).await;
                for (lsn, before) in (3..).zip(before) {
                    assert_eq!(before.await.unwrap(), Lsn::new(lsn));
                }
                assert_nothing_is_queued(&wal);
                wal.close().await.unwrap();
                check(&disk).await;
                outcome.is_some()
            });
        }
    }
}

/// Makes a future to be dropped, of a log and its disk.
type Make = for<'a> fn(&'a SimDisk, &'a Wal) -> BoxFuture<'a, ()>;

const FUTURES: [(&str, Make); 10] = [
    ("append", |_, wal| wal.append("dropped").map(drop).boxed()),
    ("append, written", |_, wal| {
        let append = wal.append_with("dropped", Durability::Written);
        append.map(drop).boxed()
    }),
    ("append_batch", |_, wal| {
        wal.append_batch(["dropped"; 3]).map(drop).boxed()
    }),
    ("submit", |_, wal| wal.submit("dropped").map(drop).boxed()),
    ("the answer", |_, wal| {
        let pending = async { wal.submit("dropped").await.unwrap().await };
        pending.map(drop).boxed()
    }),
    ("sync", |_, wal| wal.sync().map(drop).boxed()),
    ("truncate_before", |_, wal| {
        wal.truncate_before(Lsn::new(2)).map(drop).boxed()
    }),
    ("the next durable LSN", |_, wal| {
        let mut durable = wal.subscribe_durable();
        async move { while durable.next().await < Some(Lsn::new(8)) {} }.boxed()
    }),
    ("open, in vain", |disk, _| {
        options().open_on(disk, DIR).map(drop).boxed()
    }),
    ("read, in vain", |disk, _| {
        options().read_on(disk, DIR).map(drop).boxed()
    }),
];

/// Uses a log concurrently in every way, and checks that everything works.
async fn live_on(wal: &Wal) {
    let appends = join_all((0..4).map(|_| wal.append("after")));
    let batch = wal.append_batch(["batch"; 2]);
    let syncs = async {
        for _ in 0..20 {
            wal.sync().await.unwrap();
            tokio::time::sleep(SYNC).await;
        }
    };
    let truncate = wal.truncate_before(Lsn::new(2));
    let mut durable = wal.subscribe_durable();
    let durable = async { while durable.next().await < Some(Lsn::new(10)) {} };
    let (appends, batch, (), truncate, ()) = tokio::join!(appends, batch, syncs, truncate, durable);
    for append in appends {
        append.unwrap();
    }
    let batch = batch.unwrap();
    assert_eq!(batch.start().next(), *batch.end());
    truncate.unwrap();
}

/// Checks that everything that was not dropped is in the log once.
async fn check(disk: &SimDisk) {
    let records = read_back(disk).await;
    let count = |payload: &str| records.iter().filter(|r| r.payload == payload).count();
    let counts = ["first", "second", "before", "after", "batch"].map(count);
    assert_eq!(counts, [1, 1, 2, 4, 2]);
    assert_eq!(count("dropped") + 10, records.len());
    assert!(
        (0..)
            .zip(&records)
            .all(|(index, record)| record.lsn == Lsn::new(index + 1))
    );
}

/// The dropped caller was the first that waited. Closing takes longer than all these steps.
#[test]
fn a_caller_that_waits_for_a_closing_log_gets_it_after_another_was_dropped() {
    for steps in 1..100 {
        run(async {
            let disk = log_of(3).await;
            let wal = options().open_on(&disk, DIR).await.unwrap();
            disk.set_sync_time(4 * SYNC);
            drop(wal.submit(payload(4)).await.unwrap());
            drop(wal);
            let dropped = drop_after(steps, options().open_on(&disk, DIR));
            let kept = options().open_on(&disk, DIR);
            let (dropped, kept) = join(dropped, kept).await;
            assert!(dropped.is_none(), "it was not to be had yet");
            assert_eq!(kept.unwrap().durable_lsn(), Lsn::new(4));
        });
    }
}
