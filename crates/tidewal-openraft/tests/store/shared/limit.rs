//! The memory limit, which all groups share, and appends that encode at the same time.

use std::future::Future;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::thread::ScopedJoinHandle;
use std::vec;

use tidewal::sim::SimDisk;
use tidewal_openraft::RaftLogOptions;
use tokio::task::unconstrained;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls, Entry, RaftLog, RaftLogs, callback, log_id, text};
use super::state::entry;
use crate::support::{DIR, options, run};

/// The entries of an append. All have the same size.
const COUNT: u64 = 5;

fn small(index: u64) -> Entry {
    entry(1, index, vec![1; 300])
}

fn entries() -> Vec<Entry> {
    (0..COUNT).map(small).collect()
}

async fn open(disk: &SimDisk, limit: u64) -> RaftLogs {
    let recovery = options().recover_on(disk, DIR).await.unwrap();
    let options = RaftLogOptions::new().memory_limit(limit);
    RaftLogs::recover(recovery, &options).await.unwrap()
}

/// A limit for one append of `entries` and one entry more, so for 3 entries of each of two appends.
async fn limit_for_one() -> u64 {
    let logs = open(&SimDisk::new(1), u64::MAX).await;
    let mut log = logs.open_group(0).unwrap();
    log.append_durably(entries()).await.unwrap();
    log.reader().held().bytes / COUNT * (COUNT + 1)
}

/// Appends in one poll. Returns the text of the error if the append is refused.
fn append(log: &mut RaftLog, entries: impl Iterator<Item = Entry> + Send) -> Result<(), String> {
    let (callback, _) = callback();
    let mut append = pin!(unconstrained(log.append(entries, callback)));
    match append
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(outcome) => outcome.map_err(|error| text(&error)),
        Poll::Pending => unreachable!("there is room in the queue"),
    }
}

/// Entries that two appends take in step: both have taken 3 before one takes the next, and both have
/// taken their last before one continues.
struct InStep<'a> {
    entries: vec::IntoIter<Entry>,
    barrier: &'a Barrier,
    meetings: u32,
}

impl<'a> InStep<'a> {
    fn new(barrier: &'a Barrier) -> Self {
        let entries = entries().into_iter();
        Self {
            entries,
            barrier,
            meetings: 2,
        }
    }

    fn meet(&mut self) {
        self.meetings -= 1;
        self.barrier.wait();
    }
}

impl Iterator for InStep<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.entries.len() == 2 {
            self.meet();
        }
        self.entries.next()
    }
}

impl Drop for InStep<'_> {
    fn drop(&mut self) {
        while self.meetings > 0 {
            self.meet();
        }
    }
}

/// Appends to both groups in step, each on its own thread.
fn append_in_step(groups: &mut [RaftLog]) -> Vec<Result<(), String>> {
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let begin = |log| scope.spawn(|| append(log, InStep::new(&barrier)));
        let threads: Vec<_> = groups.iter_mut().map(begin).collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined.map(Result::unwrap).collect()
    })
}

/// Of two concurrent appends that each fit alone, one is accepted. Each entry was reserved when it was
/// encoded, so each append took what the other needed, and both were refused.
#[test]
fn regression_of_two_concurrent_appends_that_each_fit_one_is_accepted() {
    run(async {
        let limit = limit_for_one().await;
        let logs = open(&SimDisk::new(2), limit).await;
        let mut groups = [logs.open_group(0).unwrap(), logs.open_group(1).unwrap()];
        let outcomes = append_in_step(&mut groups);
        let refused: Vec<_> = outcomes.iter().filter_map(|it| it.as_ref().err()).collect();
        assert_eq!(refused.len(), 1, "{outcomes:?}");
        let told = format!("more than {limit} bytes");
        assert!(refused[0].contains(&told), "{refused:?}");
        groups.sort_by_key(|log| log.reader().held().bytes);
        let [second, first] = &mut groups;
        // The refused append has left nothing, so it fits once the other's entries are purged.
        first.purge(log_id(1, COUNT - 1)).await.unwrap();
        second.append_durably(entries()).await.unwrap();
    });
}

/// What an append has encoded takes nothing from the others before all of it is reserved.
#[test]
fn an_append_that_is_still_encoding_takes_no_memory_from_others() {
    run(async {
        let logs = open(&SimDisk::new(3), limit_for_one().await).await;
        let (mut slow, mut fast) = (logs.open_group(0).unwrap(), logs.open_group(1).unwrap());
        let mut meanwhile = None;
        let slow_entries = entries().into_iter().inspect(|entry| {
            if entry.log_id.index == 3 {
                meanwhile = Some(append(&mut fast, entries().into_iter()));
            }
        });
        let outcome = append(&mut slow, slow_entries);
        assert_eq!(meanwhile, Some(Ok(())));
        assert!(outcome.is_err(), "both fit");
    });
}

/// An append that is too large is refused before all of it is encoded.
#[test]
fn an_append_stops_encoding_at_the_memory_limit() {
    run(async {
        let logs = open(&SimDisk::new(4), limit_for_one().await).await;
        let mut log = logs.open_group(0).unwrap();
        let mut taken = 0;
        let many = (0..50).map(small).inspect(|_| taken += 1);
        assert!(append(&mut log, many).is_err());
        assert_eq!(
            taken,
            COUNT + 2,
            "the first entry beyond the limit is the last"
        );
    });
}

/// A log that holds more than its limit, because it was written with a higher one, accepts an append
/// that adds nothing.
#[test]
fn an_append_without_entries_fits_beyond_the_limit() {
    run(async {
        let disk = SimDisk::new(5);
        let logs = open(&disk, u64::MAX).await;
        let mut log = logs.open_group(0).unwrap();
        log.append_durably(entries()).await.unwrap();
        drop((log, logs));
        let logs = open(&disk, 100).await;
        let mut log = logs.open_group(0).unwrap();
        log.append_durably([]).await.unwrap();
        assert!(log.append_durably([small(COUNT)]).await.is_err());
    });
}
