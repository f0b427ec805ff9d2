//! A service whose runtime is dropped after its n-th poll, for every n, and that is then restarted.

use std::sync::mpsc;

use futures::TryStreamExt;
use futures::executor::block_on;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Record, Recovery, Wal, WalOptions};
use tokio::runtime::Builder;

use crate::helpers::{SYNC, after_a_cut};
use crate::service::Service;
use crate::support::{DIR, options, run, within_a_minute};

/// The log has its own threads, so everything that was submitted is written and answered, and
/// opening the log waits for that.
#[test]
fn a_runtime_is_dropped_at_every_await_over_the_real_disk() {
    at_every_limit(|limit| {
        let (tell, told) = mpsc::channel();
        within_a_minute(move || tell.send(live_on_the_real_disk(limit)).unwrap());
        told.recv().unwrap()
    });
}

/// The log's tasks end with the runtime, and the remaining callers get an error.
#[test]
fn a_runtime_is_dropped_at_every_await_over_a_simulated_disk() {
    let mut interrupted = 0;
    at_every_limit(|limit| {
        let disk = SimDisk::new(limit as u64);
        disk.set_sync_time(SYNC);
        let service = Service::with_a_clock();
        (0..2).all(|_| live_on_a_simulated_disk(&disk, &service, limit, &mut interrupted))
    });
    assert!(interrupted > 0, "no caller remained: this shows too little");
}

/// Runs a service for 0, 1, 2 polls and so on, until it ends on its own.
fn at_every_limit(mut live: impl FnMut(usize) -> bool) {
    for limit in 0..5000 {
        println!("dropped after {limit} polls, which is the seed too");
        if live(limit) {
            assert!(limit > 10, "this shows nothing");
            return;
        }
    }
    panic!("the service never ends");
}

/// A small queue, so producers wait for room, and small segments.
fn narrow() -> WalOptions {
    options().queue_records(3)
}

/// Returns whether the service has ended on its own.
fn live_on_the_real_disk(limit: usize) -> bool {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let service = Service::default();
    let runtime = Builder::new_current_thread().build().unwrap();
    let recover = narrow().recover(dir.clone());
    let has_ended = runtime.block_on(service.live(limit, recover));
    drop(runtime);

    drop(service.take_wal());
    let next = Builder::new_current_thread().build().unwrap();
    let mut recovery = next.block_on(narrow().recover(&dir)).unwrap();
    for (payload, pending) in service.take_pending() {
        let lsn = block_on(pending).expect("it was written");
        service.note(lsn, [payload]);
    }
    service.check(&next.block_on(read(&mut recovery)));
    let cut = recovery.report().torn_tail.clone();
    assert_eq!(cut, None, "it was closed in the background");
    let wal = next.block_on(recovery.into_wal()).unwrap();
    next.block_on(wal.close()).unwrap();
    has_ended
}

/// Returns whether the service has ended on its own. Counts the callers that got an unknown
/// outcome.
fn live_on_a_simulated_disk(
    disk: &SimDisk,
    service: &Service,
    limit: usize,
    interrupted: &mut usize,
) -> bool {
    let (disk_of_service, life) = (disk.clone(), service.clone());
    let recover = async move { narrow().recover_on(&disk_of_service, DIR).await };
    let has_ended = run(async { life.live(limit, recover).await });

    for (payload, pending) in service.take_pending() {
        match block_on(pending) {
            Ok(lsn) => service.note(lsn, [payload]),
            Err(Error::Interrupted) => *interrupted += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    if let Some(wal) = service.take_wal() {
        block_on(check_that_it_is_over(wal, service.has_begun_to_close()));
    }
    for survival in [Survival::Nothing, Survival::Everything, Survival::Random] {
        check(service, &after_a_cut(disk, survival, limit));
    }
    check(service, disk);
    has_ended
}

/// Uses a handle of a log whose runtime was dropped.
async fn check_that_it_is_over(wal: Wal, may_be_closed: bool) {
    let error = wal.append("late").await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    match wal.close().await {
        Ok(()) => assert!(may_be_closed),
        Err(error) => assert!(matches!(error, Error::Interrupted), "{error:?}"),
    }
}

/// Reads a log in another runtime. It must be unlocked.
fn check(service: &Service, disk: &SimDisk) {
    let records = run(async {
        let mut recovery = narrow().recover_on(disk, DIR).await.unwrap();
        let records = read(&mut recovery).await;
        let wal = recovery.into_wal().await.unwrap();
        wal.close().await.unwrap();
        records
    });
    service.check(&records);
}

async fn read(recovery: &mut Recovery) -> Vec<Record> {
    recovery.try_collect().await.unwrap()
}
