//! When records are durable, calls are answered and files are removed.

use std::time::Duration;

use futures::FutureExt;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Durability, SyncPolicy, Wal, WalOptions};

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLog, Vote, callback, log_id, open as try_open};
use super::state::{entry, state_of};
use crate::support::{DIR, options, run};

async fn open_with(options: WalOptions, disk: &SimDisk) -> RaftLog {
    try_open(options, disk).await.unwrap()
}

async fn open(disk: &SimDisk) -> RaftLog {
    open_with(options(), disk).await
}

/// Lets the log do everything that does not wait for the clock.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_append_returns_at_once_and_its_callback_comes_with_the_sync() {
    run(async {
        let disk = SimDisk::new(1);
        let mut log = open(&disk).await;
        log.append_durably([entry(1, 0, vec![0])]).await.unwrap();
        disk.stall(0, Duration::from_secs(1));
        let (first, first_flushed) = callback();
        let (second, mut second_flushed) = callback();
        log.append([entry(1, 1, vec![1])], first).await.unwrap();
        log.append([entry(1, 2, vec![2])], second).await.unwrap();
        settle().await;
        assert_eq!(log.entries(..).await.len(), 3);
        assert!((&mut second_flushed).now_or_never().is_none());
        first_flushed.await.unwrap();
        second_flushed.await.unwrap();
    });
}

#[test]
fn a_callback_means_durable_whatever_the_durability_of_the_log() {
    run(async {
        let disk = SimDisk::new(2);
        let written = options().durability(Durability::Written);
        let mut log = open_with(written, &disk).await;
        log.append_durably([entry(1, 0, vec![7])]).await.unwrap();
        log.save_vote(&Vote::new(4, 1)).await.unwrap();
        let promised = state_of(&mut log).await;
        disk.restart(Survival::Nothing);
        drop(log);
        assert_eq!(state_of(&mut open(&disk).await).await, promised);
    });
}

#[test]
fn a_thousand_appends_in_flight_share_syncs() {
    run(async {
        let disk = SimDisk::new(3);
        disk.set_sync_time(Duration::from_millis(1));
        let mut log = open_with(Wal::options(), &disk).await;
        let before = disk.operations();
        let mut last = None;
        for index in 0..1000 {
            let (callback, flushed) = callback();
            log.append([entry(1, index, vec![0; 10])], callback)
                .await
                .unwrap();
            last = Some(flushed);
        }
        last.unwrap().await.unwrap();
        let operations = disk.operations() - before;
        assert!(operations < 100, "{operations} operations for 1000 appends");
    });
}

#[test]
fn a_committed_index_is_on_disk_soon_and_costs_its_caller_no_sync() {
    run(async {
        let disk = SimDisk::new(4);
        let mut log = open(&disk).await;
        log.append_durably([entry(1, 0, vec![0])]).await.unwrap();
        let before = disk.operations();
        let saved = log.save_committed(Some(log_id(1, 0)));
        saved
            .now_or_never()
            .expect("a sync was waited for")
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(disk.operations() - before, 1, "a write and no sync");
        tokio::time::sleep(Duration::from_millis(20)).await;
        disk.restart(Survival::Nothing);
        drop(log);
        let mut log = open(&disk).await;
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 0)));
    });
}

#[test]
fn a_purge_gives_memory_and_files_back_and_keeps_the_vote() {
    run(async {
        let disk = SimDisk::new(5);
        let mut log = open_with(options().spare_segments(0), &disk).await;
        log.save_vote(&Vote::new(4, 1)).await.unwrap();
        log.save_committed(Some(log_id(1, 3))).await.unwrap();
        let reader = log.reader();
        for round in 0..50 {
            for index in round * 10..round * 10 + 10 {
                log.append_durably([entry(1, index, vec![0; 3000])])
                    .await
                    .unwrap();
            }
            log.purge(log_id(1, round * 10 + 7)).await.unwrap();
            settle().await;
            let segments = disk.files(DIR).len();
            assert!(segments <= 4, "{segments} files");
            assert_eq!(reader.held().entries, 2);
            assert!((6000..8000).contains(&reader.held().bytes));
        }
        let expected = state_of(&mut log).await;
        drop(log);
        disk.restart(Survival::Nothing);
        let mut log = open(&disk).await;
        assert_eq!(state_of(&mut log).await, expected);
        assert_eq!(expected.vote, Some(Vote::new(4, 1).into()));
        assert_eq!(expected.committed, Some(log_id(1, 3).into()));
    });
}

#[test]
fn entries_written_over_many_times_leave_the_last_ones() {
    run(async {
        let disk = SimDisk::new(6);
        let mut log = open(&disk).await;
        for term in 1..60 {
            log.truncate_since(term / 2).await.unwrap();
            let next = state_of(&mut log).await.next_index();
            log.append_durably((next..next + 3).map(|index| entry(term, index, vec![0; 900])))
                .await
                .unwrap();
        }
        log.purge(log_id(58, 28)).await.unwrap();
        let expected = state_of(&mut log).await;
        drop(log);
        let mut log = open(&disk).await;
        assert_eq!(state_of(&mut log).await, expected);
    });
}

#[test]
fn reads_are_limited_and_never_empty() {
    run(async {
        let disk = SimDisk::new(7);
        let mut log = open_with(Wal::options(), &disk).await;
        let large = (0..6).map(|index| entry(1, index, vec![0; 1_500_000]));
        log.append_durably(large).await.unwrap();
        let read = log.some_entries(0, 6).await;
        assert_eq!(read.len(), 2, "of 4 MiB two hold 1.5 million bytes each");
        log.append_durably([entry(1, 6, vec![0; 5_000_000])])
            .await
            .unwrap();
        assert_eq!(log.some_entries(6, 7).await.len(), 1);
        assert!(log.some_entries(3, 3).await.is_empty());
        #[expect(clippy::reversed_empty_ranges, reason = "it must not panic")]
        let reversed = log.entries(5..3).await;
        assert!(reversed.is_empty());
        assert_eq!(log.entries(2..=4).await.len(), 3);
    });
}

#[tokio::test]
async fn a_log_that_was_dropped_can_be_opened_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..50 {
        let mut log = RaftLog::open(dir.path()).await.unwrap();
        assert_eq!(state_of(&mut log).await.next_index(), index);
        log.append_durably([entry(1, index, vec![1])])
            .await
            .unwrap();
        log.purge(log_id(1, index / 2)).await.unwrap();
    }
}

#[test]
fn an_interval_is_a_policy_like_another() {
    run(async {
        let disk = SimDisk::new(8);
        let interval = SyncPolicy::Interval(Duration::from_millis(2));
        let mut log = open_with(options().sync_policy(interval), &disk).await;
        log.save_vote(&Vote::new(1, 1)).await.unwrap();
        log.append_durably([entry(1, 0, vec![0])]).await.unwrap();
        log.truncate_since(0).await.unwrap();
    });
}
