//! One log with many users: handles that are dropped while the queue is full, and runtimes that are
//! dropped while others continue.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use futures::executor::block_on;
use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt};
use tidewal::{Lsn, Record, TrySubmitError, Wal, WalOptions};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_test::{assert_pending, assert_ready_ok, task};

use crate::helpers::busy;
use crate::support::{DIR, options, policies, run, within_a_minute};

#[test]
fn the_last_handle_is_dropped_while_the_queue_is_full() {
    for policy in policies() {
        let options = options().sync_policy(policy);
        run(drop_with_a_full_queue(options.clone().queue_records(4)));
        run(drop_with_a_full_queue(options.queue_bytes(4 * 100)));
    }
}

/// Everything that was submitted is in the log, every caller has its answer, and opening the log
/// waits for that.
async fn drop_with_a_full_queue(narrow: WalOptions) {
    let (disk, wal) = busy(narrow).await;
    let handles = [(); 4].map(|()| wal.clone());
    let queued = [vec![1; 80], vec![2; 80], vec![3; 80], vec![4; 80]];
    let mut pending = Vec::new();
    for (handle, payload) in handles.iter().zip(&queued) {
        pending.push(task::spawn(handle.submit(payload.clone()).await.unwrap()));
    }
    assert!(matches!(wal.try_submit(""), Err(TrySubmitError::Full(_))));
    let mut waiting = task::spawn(wal.submit("waits for a place"));
    assert_pending!(waiting.poll());
    drop(waiting);
    drop((wal, handles));

    let mut recovering = task::spawn(options().recover_on(&disk, DIR));
    assert_pending!(recovering.poll());
    for pending in &mut pending {
        assert_pending!(pending.poll(), "the disk is busy");
    }
    let mut recovery = recovering.await.unwrap();
    for (lsn, mut pending) in (3..).zip(pending) {
        assert_eq!(assert_ready_ok!(pending.poll()), Lsn::new(lsn));
    }
    let records: Vec<_> = (&mut recovery).try_collect().await.unwrap();
    let payloads: Vec<_> = records.into_iter().map(|r| r.payload).skip(2).collect();
    assert_eq!(payloads, queued);
    assert_eq!(recovery.report().torn_tail, None, "it was closed");
}

/// A multi-threaded runtime, a current-thread runtime and a plain executor share a log. The first
/// one, which opened the log, is dropped with futures of all kinds inside.
#[test]
fn a_runtime_that_is_dropped_leaves_the_log_to_the_others() {
    within_a_minute(|| {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let told = Told::default();
            let doomed = Runtime::new().unwrap();
            let wal = doomed.block_on(options().queue_records(8).open(dir.path()));
            let wal = wal.unwrap();
            let appended = crowd(&doomed, &wal, &told);
            let alive = watch::Sender::new(());
            let gone = alive.subscribe();
            let others = [
                thread::spawn(in_a_runtime(wal.clone(), told.clone(), gone.clone())),
                thread::spawn(in_no_runtime(wal.clone(), told.clone(), gone)),
            ];
            appended.iter().take(50).for_each(drop);
            drop(doomed);
            drop(alive);
            for other in others {
                other.join().unwrap();
            }
            block_on(wal.close()).unwrap();
            told.check(&block_on(read(dir.path())));
        }
    });
}

/// Fills a runtime with tasks that never end. Returns a channel that reports each append.
fn crowd(runtime: &Runtime, wal: &Wal, told: &Told) -> mpsc::Receiver<()> {
    let (tell, appended) = mpsc::channel();
    for number in 0..8 {
        let (log, told, tell) = (wal.clone(), told.clone(), tell.clone());
        runtime.spawn(async move {
            for count in 0.. {
                append(&log, format!("doomed {number}/{count}"), &told).await;
                tell.send(()).unwrap();
            }
        });
        let log = wal.clone();
        runtime.spawn(async move { while log.sync().await.is_ok() {} });
        let log = wal.clone();
        runtime.spawn(async move { while log.append_batch(["doomed"; 3]).await.is_ok() {} });
        let durable = wal.subscribe_durable();
        runtime.spawn(durable.for_each(async |_| {}));
    }
    appended
}

/// A service on a current-thread runtime.
fn in_a_runtime(wal: Wal, told: Told, gone: Gone) -> impl FnOnce() {
    move || {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(live(&wal, "runtime", &told, gone));
    }
}

/// A service without tokio.
fn in_no_runtime(wal: Wal, told: Told, gone: Gone) -> impl FnOnce() {
    move || block_on(live(&wal, "no runtime", &told, gone))
}

/// Works while the other runtime exists, while it is dropped, and afterwards.
async fn live(wal: &Wal, name: &str, told: &Told, mut gone: Gone) {
    work(wal, &format!("{name}, before"), told).await;
    // It waits for the error: the sender is dropped after the runtime.
    while gone.changed().await.is_ok() {}
    work(wal, &format!("{name}, after"), told).await;
}

/// Ends when a runtime has ended.
type Gone = watch::Receiver<()>;

/// Appends a few hundred records in all ways, and checks that each is answered.
async fn work(wal: &Wal, name: &str, told: &Told) {
    let appends = (0..8).map(async |number| {
        for count in 0..25 {
            append(wal, format!("{name} {number}/{count}"), told).await;
        }
    });
    let submits = async {
        let submit = |_| wal.submit("submitted");
        let pending = try_join_all((0..100).map(submit)).await.unwrap();
        let lsns = try_join_all(pending).await.unwrap();
        assert!(wal.sync().await.unwrap() >= lsns[99]);
    };
    tokio::join!(join_all(appends), submits);
}

async fn append(wal: &Wal, payload: String, told: &Told) {
    let lsn = wal.append(payload.clone()).await.unwrap();
    told.note(lsn, payload);
}

/// What was acknowledged.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<Lsn, String>>>);

impl Told {
    fn note(&self, lsn: Lsn, payload: String) {
        let before = self.0.lock().unwrap().insert(lsn, payload);
        assert_eq!(before, None, "LSN {lsn} was given twice");
    }

    fn check(&self, records: &[Record]) {
        let delivered: BTreeMap<_, _> = records.iter().map(|r| (r.lsn, &r.payload)).collect();
        for (lsn, payload) in &*self.0.lock().unwrap() {
            assert_eq!(delivered[lsn], payload, "record {lsn} was acknowledged");
        }
        assert_eq!(records.last().unwrap().lsn.get(), records.len() as u64);
    }
}

/// It was polled in a dropped runtime, and is awaited in another one while a third one appends.
#[test]
fn a_subscription_moves_from_a_runtime_that_is_dropped_to_another() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let first = Runtime::new().unwrap();
        let (wal, mut durable) = first.block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            wal.append("first").await.unwrap();
            let mut durable = wal.subscribe_durable();
            assert_eq!(durable.next().await, Some(Lsn::FIRST));
            assert!(futures::poll!(Box::pin(durable.next())).is_pending());
            (wal, durable)
        });
        drop(first);
        let appends = thread::spawn(move || {
            block_on(async {
                for lsn in 2..=20 {
                    assert_eq!(wal.append("more").await.unwrap(), Lsn::new(lsn));
                }
                wal.close().await.unwrap();
            });
        });
        let second = Builder::new_current_thread().build().unwrap();
        let seen: Vec<_> = second.block_on(durable.by_ref().collect());
        appends.join().unwrap();
        assert!(seen.is_sorted() && seen[0] > Lsn::FIRST, "{seen:?}");
        assert_eq!(seen.last(), Some(&Lsn::new(20)));
    });
}

/// The runtime that opened the log is dropped with the last handle inside.
#[test]
fn a_log_is_opened_from_one_runtime_after_the_one_that_had_it_was_dropped() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let runtime = Runtime::new().unwrap();
            let pending = runtime.block_on(async {
                let wal = options().open(dir.path()).await.unwrap();
                let submits = (0..50).map(|_| wal.submit("submitted"));
                let pending = try_join_all(submits).await.unwrap();
                tokio::spawn(async move { while wal.sync().await.is_ok() {} });
                pending
            });
            drop(runtime);
            let next = Builder::new_current_thread().build().unwrap();
            let wal = next.block_on(options().open(dir.path())).unwrap();
            let last = Lsn::new((round + 1) * 50);
            assert_eq!(wal.durable_lsn(), last);
            assert_eq!(block_on(try_join_all(pending)).unwrap().last(), Some(&last));
            next.block_on(wal.close()).unwrap();
        }
    });
}

async fn read(dir: &Path) -> Vec<Record> {
    let recovery = options().recover(dir).await.unwrap();
    recovery.try_collect().await.unwrap()
}
