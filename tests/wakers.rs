//! Wakers are foreign code: they may call the log again, panic, or hold the last reference to
//! something. Each of these tests is named after a bug that a review found.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk};
use tidewal::{Durability, Error, Lsn, PendingAppend, SyncPolicy};
use tidewal_testing::support::{DIR, options, run, spares, within_a_minute};

struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(call: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Call(call)))
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn regression_whoever_is_woken_in_line_may_look_at_the_log() {
    within_a_minute(|| {
        run(async {
            let disk = SimDisk::new(1);
            let wal = options()
                .queue_records(1)
                .open_on(&disk, DIR)
                .await
                .unwrap();
            drop(wal.try_submit("a").unwrap());
            let other = wal.clone();
            let looks = waker(move || assert!(!other.stats().poisoned));
            let mut in_line = Box::pin(wal.submit("b"));
            assert!(poll(&mut in_line, &looks).is_pending());
            settle().await;
            drop(in_line.await.unwrap());
        });
    });
}

#[test]
fn regression_a_waker_that_panics_does_not_keep_others_asleep() {
    let woken = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&woken);
    // The panic ends the writer, and with it this runtime's run.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        run(async move {
            let disk = SimDisk::new(1);
            let wal = options().open_on(&disk, DIR).await.unwrap();
            let mut bad = Box::pin(wal.try_submit("bad").unwrap());
            let mut good = Box::pin(wal.try_submit("good").unwrap());
            assert!(poll(&mut bad, &waker(|| panic!("a waker panics"))).is_pending());
            let wakes = waker(move || assert_eq!(seen.fetch_add(1, Ordering::SeqCst), 0));
            assert!(poll(&mut good, &wakes).is_pending());
            settle().await;
        });
    }));
    assert_eq!(woken.load(Ordering::SeqCst), 1);
}

#[test]
fn regression_a_followers_waker_that_panics_does_not_keep_other_followers_asleep() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let (mut bad, mut good) = (wal.follow(Lsn::FIRST), wal.follow(Lsn::FIRST));
        let woken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&woken);
        {
            let (mut bad, mut good) = (Box::pin(bad.try_next()), Box::pin(good.try_next()));
            assert!(poll(&mut bad, &waker(|| panic!("a waker panics"))).is_pending());
            let wakes = waker(move || assert_eq!(seen.fetch_add(1, Ordering::SeqCst), 0));
            assert!(poll(&mut good, &wakes).is_pending());
            let appended = wal.append("a record").await;
            assert!(matches!(appended, Err(Error::Interrupted)), "{appended:?}");
        }
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        let record = good.try_next().await.unwrap().unwrap();
        assert_eq!(record.payload, "a record");
        let end = good.try_next().await;
        assert!(matches!(end, Err(Error::Interrupted)), "{end:?}");
    });
}

#[test]
fn regression_a_waker_that_panics_leaves_no_append_of_the_other_kind_unanswered() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options()
            .durability(Durability::Written)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        wal.append("first").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        disk.fail(Operation::Write, 0, io::ErrorKind::Other);
        let mut bad = Box::pin(wal.try_submit("bad").unwrap());
        assert!(poll(&mut bad, &waker(|| panic!("a waker panics"))).is_pending());
        let good = wal.append_with("good", Durability::Durable);
        let answer = tokio::time::timeout(Duration::from_secs(3600), good).await;
        answer.expect("it is answered").unwrap_err();
    });
}

/// The preallocator removed the spare files of the log that was opened next.
#[test]
fn regression_a_log_whose_writer_has_panicked_is_waited_for_until_its_spare_files_are_done() {
    const HOUR: Duration = Duration::from_secs(3600);
    run(async {
        let disk = SimDisk::new(1);
        let slow = options().segment_size(8 << 20);
        let wal = slow.durability(Durability::Written);
        let wal = wal.open_on(&disk, DIR).await.unwrap();
        // Enough for the next segment to be prepared. Each piece of the spare file takes this long.
        wal.append(vec![0; 1 << 20]).await.unwrap();
        disk.set_sync_time(HOUR);
        settle().await;
        assert!(!spares(&disk).is_empty(), "one is being written");
        let mut bad = Box::pin(wal.try_submit("bad").unwrap());
        assert!(poll(&mut bad, &waker(|| panic!("a waker panics"))).is_pending());
        settle().await;
        disk.set_sync_time(Duration::ZERO);
        let started = tokio::time::Instant::now();
        drop(options().open_on(&disk, DIR).await.unwrap());
        assert!(started.elapsed() > HOUR / 2, "{:?}", started.elapsed());
    });
}

/// Holds an answer until it is dropped.
struct Holds(#[expect(dead_code, reason = "it is held")] Mutex<Pin<Box<PendingAppend>>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {}
}

/// Two appends that are taken out of the queue together. The first one's waker is the last owner of
/// the second one.
async fn an_answer_whose_waker_holds_another() -> Pin<Box<PendingAppend>> {
    let disk = SimDisk::new(1);
    let wal = options().open_on(&disk, DIR).await.unwrap();
    let mut held = Box::pin(wal.try_submit("held").unwrap());
    assert!(poll(&mut held, Waker::noop()).is_pending());
    let mut other = Box::pin(wal.try_submit("other").unwrap());
    let holds = Waker::from(Arc::new(Holds(Mutex::new(held))));
    assert!(poll(&mut other, &holds).is_pending());
    other
}

#[test]
fn regression_a_waker_that_is_replaced_may_hold_another_answer() {
    within_a_minute(|| {
        run(async {
            let mut answer = an_answer_whose_waker_holds_another().await;
            assert!(poll(&mut answer, Waker::noop()).is_pending());
        });
    });
}

#[test]
fn regression_the_waker_of_a_dropped_answer_may_hold_another_answer() {
    within_a_minute(|| run(async { drop(an_answer_whose_waker_holds_another().await) }));
}

/// A caller whose append has failed opens the log again at once: here on another thread, while the
/// writer is still waking callers. It must wait for the log that is closing.
#[test]
fn regression_opening_waits_for_a_failed_log_as_soon_as_a_caller_has_its_error() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().build().unwrap();
    let disk = SimDisk::new(1);
    let (opened, is_opened) = mpsc::channel();
    let wal = runtime.block_on(async {
        let options = options().durability(Durability::Written);
        // The first write to a segment, regardless of writes to other files.
        disk.fail_on(Operation::Write, ".wal", 0, io::ErrorKind::Other);
        options.open_on(&disk, DIR).await.unwrap()
    });
    let mut bad = Box::pin(wal.append("bad"));
    let (handle, disk) = (runtime.handle().clone(), disk.clone());
    let opens = waker(move || {
        let (disk, handle) = (disk.clone(), handle.clone());
        let (done, is_done) = mpsc::channel();
        // A separate thread, because this one is delayed for as long as it could take to get the
        // error that the log is locked.
        thread::spawn(move || {
            let opening = options().open_on(&disk, DIR);
            done.send(handle.block_on(opening).map(drop))
        });
        let told = is_done.recv_timeout(Duration::from_millis(300));
        opened.send(told).unwrap();
    });
    assert!(poll(&mut bad, &opens).is_pending());
    let told = is_opened.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(
        matches!(told, Err(mpsc::RecvTimeoutError::Timeout)),
        "{told:?}"
    );
}

#[test]
fn regression_a_sync_does_not_say_ok_to_a_record_that_it_refuses() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(0).sync_policy(SyncPolicy::Manual);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        drop(wal.submit(vec![0; 12_000]).await.unwrap());
        wal.sync().await.unwrap();
        disk.set_quota(Some(0));
        drop(wal.submit(vec![1; 12_000]).await.unwrap());
        let refused = wal.sync().await.unwrap_err();
        assert!(matches!(refused, Error::StorageFull(_)), "{refused:?}");
    });
}

/// The parts of a split take counted as each other's callers, and were kept until the next
/// rotation.
#[test]
fn regression_unwanted_answers_are_dropped_although_their_take_was_split() {
    // The disk holds the same writes in both cases, so only the log's memory can differ: about 30
    // bytes for each record in the list of unsynced ones, besides the answers themselves.
    let (wanted, unwanted) = (peak_of_split_takes(true), peak_of_split_takes(false));
    assert!(
        unwanted + 350_000 < wanted,
        "{unwanted} against {wanted} bytes"
    );
}

/// The most memory, in bytes, while 10,000 records are taken out of the queue a hundred at a time,
/// written one by one and never synced. One answer of each take is kept, or none.
fn peak_of_split_takes(keeps_one: bool) -> u64 {
    let measured = allocation_counter::measure(|| {
        run(async {
            let disk = SimDisk::new(1);
            let wal = options()
                .segment_size(64 << 20)
                .spare_segments(0)
                .sync_policy(SyncPolicy::Manual)
                .max_batch_records(1)
                .open_on(&disk, DIR)
                .await
                .unwrap();
            let mut kept = Vec::with_capacity(100);
            for _ in 0..100 {
                let mut last = None;
                for _ in 0..100 {
                    last = Some(wal.try_submit("").unwrap());
                }
                kept.extend(last.filter(|_| keeps_one));
                while wal.stats().queued_records > 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    });
    measured.bytes_max
}
