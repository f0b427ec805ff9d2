//! Appends that are polled once and kept.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal_openraft::RaftLogOptions;
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, RaftLog, RaftLogs, StoreError, callback, log_id, text};
use super::state::entry;
use crate::support::{DIR, options, run};

async fn open(disk: &SimDisk) -> RaftLogs {
    open_with(&RaftLogOptions::new().reclaim_after(64 * 1024), disk).await
}

async fn open_with(raft: &RaftLogOptions, disk: &SimDisk) -> RaftLogs {
    // Such a small queue that a record must wait for room.
    let options = options().spare_segments(0).queue_records(1);
    let recovery = options.recover_on(disk, DIR).await.unwrap();
    RaftLogs::recover(recovery, raft).await.unwrap()
}

type Append<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

/// Polls an append of entry `index` once, and returns it if it waits.
fn begin(log: &mut RaftLog, index: u64) -> Option<Append<'_>> {
    begin_with(log, index, 1).unwrap()
}

/// As `begin`, with this many bytes. If the append is refused, returns the text of the error.
fn begin_with(log: &mut RaftLog, index: u64, len: usize) -> Result<Option<Append<'_>>, String> {
    let (callback, _) = callback();
    let append = log.append([entry(1, index, vec![1; len])], callback);
    // Tokio makes a task wait that has done much. This append waits only for the log.
    let mut append: Append = Box::pin(unconstrained(append));
    match append
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Pending => Ok(Some(append)),
        Poll::Ready(outcome) => outcome.map(|()| None).map_err(|error| text(&error)),
    }
}

/// Completes calls of another group. None of them may wait for the kept ones.
async fn work(log: &mut RaftLog, rounds: std::ops::Range<u64>) {
    let work = async {
        for round in rounds {
            let entries = (0..10).map(|nth| entry(1, round * 10 + nth, vec![3; 900]));
            log.append_durably(entries).await.unwrap();
            log.purge(log_id(1, round * 10 + 5)).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    };
    let worked = timeout(Duration::from_secs(600), work).await;
    worked.expect("a call waits for one that is not polled");
}

/// `RaftLog`: "No call of another group waits for a future that is kept and not polled."
///
/// Here 2,999 groups have an append that waits for room in the queue and is not polled again. A bound
/// of 1,024 submissions in flight, which all groups shared, was used up by such futures.
#[test]
fn kept_appends_of_many_groups_delay_no_other_group() {
    run(async {
        let disk = SimDisk::new(1);
        let logs = open(&disk).await;
        let mut groups: Vec<_> = (0..3000)
            .map(|group| logs.open_group(group).unwrap())
            .collect();
        let mut kept = Vec::new();
        for log in &mut groups {
            kept.extend(begin(log, 0));
        }
        assert_eq!(kept.len(), 2999, "there is room for one");
        work(&mut logs.open_group(3000).unwrap(), 0..3).await;
        for append in kept {
            append.await.unwrap();
        }
    });
}

/// The log keeps what the group of a kept append needs, and no more. It becomes small once the
/// append completes.
#[test]
fn a_kept_append_does_not_stop_other_groups_from_being_carried_forward() {
    run(async {
        let disk = SimDisk::new(2);
        let logs = open(&disk).await;
        for group in 0..20 {
            let mut idle = logs.open_group(group).unwrap();
            let entries = (0..3).map(|index| entry(1, index, vec![2; 50]));
            idle.append_durably(entries).await.unwrap();
        }
        let (mut first, mut second) = (logs.open_group(20).unwrap(), logs.open_group(21).unwrap());
        first.append_durably([entry(1, 0, vec![1])]).await.unwrap();
        second.append_durably([entry(1, 0, vec![1])]).await.unwrap();
        assert!(begin(&mut first, 1).is_none(), "there is room for one");
        let kept = begin(&mut second, 1).expect("there is no more room");
        let mut busy = logs.open_group(22).unwrap();
        work(&mut busy, 0..60).await;
        kept.await.unwrap();
        work(&mut busy, 60..120).await;
        let files = disk.files(DIR).len();
        assert!(files * 16 * 1024 < 400 * 1024, "{files} files");
    });
}

/// `RaftLog`: "But such an append keeps the memory that it has reserved, so near the limit it can make
/// appends of other groups fail."
///
/// Appends that wait for room in the queue have reserved their memory, so no others can take it. They
/// were counted only when they were submitted, and passed the limit together.
#[test]
fn appends_of_many_groups_do_not_pass_the_memory_limit_together() {
    run(async {
        let disk = SimDisk::new(3);
        let limit = RaftLogOptions::new().memory_limit(12_000);
        let logs = open_with(&limit, &disk).await;
        let mut groups: Vec<_> = (0..8).map(|id| logs.open_group(id).unwrap()).collect();
        let readers: Vec<_> = groups.iter().map(RaftLog::reader).collect();
        let held = || {
            readers
                .iter()
                .map(|reader| reader.held().bytes)
                .sum::<u64>()
        };
        let (first, others) = groups.split_first_mut().unwrap();
        assert!(begin(first, 0).is_none(), "there is room for one");
        let begun = others.iter_mut().map(|log| begin_with(log, 0, 3000));
        let (kept, refused): (Vec<_>, Vec<_>) = begun.partition(Result::is_ok);
        assert_eq!((kept.len(), refused.len()), (3, 4), "there is memory for 3");
        for refused in refused {
            let text = refused.err().unwrap();
            assert!(text.contains("more than 12000 bytes"), "{text}");
        }
        for kept in kept.into_iter().skip(1) {
            kept.ok()
                .flatten()
                .expect("there is no more room")
                .await
                .unwrap();
        }
        assert!((6_000..9_000).contains(&held()), "{}", held());
        // The first of them was dropped, and gave its memory back.
        first
            .append_durably([entry(1, 1, vec![1; 3000])])
            .await
            .unwrap();
        let full = first.append_durably([entry(1, 2, vec![1; 3000])]).await;
        assert!(full.is_err() && held() <= 12_000, "{}", held());
    });
}
