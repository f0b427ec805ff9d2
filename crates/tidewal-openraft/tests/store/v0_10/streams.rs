//! Streams of entries, which read a few entries at a time.

use futures::StreamExt;
use openraft::RaftLogReader;
use openraft::storage::{LeaderBoundedStreamError, RaftLogStorage};
use tidewal::Wal;
use tidewal::sim::SimDisk;

use super::api::{Calls, RaftLog, Vote, log_id, open};
use super::state::entry;
use crate::support::run;

/// A log of twenty entries of 10 kB, more than a stream reads at a time.
async fn twenty() -> RaftLog {
    let mut log = open(Wal::options(), &SimDisk::new(1)).await.unwrap();
    let entries = (0..20).map(|index| entry(1, index, vec![7; 10_000]));
    log.append_durably(entries).await.unwrap();
    log
}

#[test]
fn a_stream_has_the_entries_of_its_range() {
    run(async {
        let mut reader = twenty().await.reader();
        for range in [0..20, 3..4, 5..17, 15..30, 20..30, 4..4] {
            let stream = reader.entries_stream(range.clone()).await;
            let read: Vec<_> = stream
                .map(|entry| entry.unwrap().log_id.index)
                .collect()
                .await;
            let expected: Vec<_> = range.filter(|index| *index < 20).collect();
            assert_eq!(read, expected);
        }
        assert_eq!(reader.entries_stream(..).await.count().await, 20);
        assert_eq!(reader.entries_stream(3..=19).await.count().await, 17);
    });
}

#[test]
fn a_stream_tells_what_was_purged_while_it_was_read() {
    run(async {
        let mut log = twenty().await;
        let mut reader = log.reader();
        let mut stream = Box::pin(reader.entries_stream(0..20).await);
        assert!(stream.next().await.unwrap().is_ok());
        log.purge(log_id(1, 15)).await.unwrap();
        let read: Vec<_> = stream.collect().await;
        let (last, before) = read.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok) && before.len() < 15);
        let error = last.as_ref().unwrap_err().to_string();
        assert!(error.contains("was purged"), "{error}");
        // A stream over all of them has the remaining ones.
        assert_eq!(reader.entries_stream(0..20).await.count().await, 4);
    });
}

#[test]
fn a_stream_for_a_leader_ends_with_it() {
    run(async {
        let mut log = twenty().await;
        let mut reader = log.reader();
        let vote = Vote::new_committed(3, 1);
        let is_changed = |end| matches!(end, Some(Err(LeaderBoundedStreamError::LeaderChanged(_))));
        let mut early = Box::pin(reader.leader_bounded_stream(vote.leader_id, 0..20).await);
        assert!(is_changed(early.next().await), "there is no vote yet");
        drop(early);

        log.save_vote(&vote).await.unwrap();
        let stream = reader.leader_bounded_stream(vote.leader_id, 0..20).await;
        assert_eq!(
            stream
                .filter(|e| std::future::ready(e.is_ok()))
                .count()
                .await,
            20
        );

        let mut stream = Box::pin(reader.leader_bounded_stream(vote.leader_id, 0..20).await);
        assert!(stream.next().await.unwrap().is_ok());
        log.save_vote(&Vote::new(4, 2)).await.unwrap();
        let read: Vec<_> = stream.collect().await;
        assert!(read.len() < 19);
        assert!(is_changed(read.into_iter().next_back()));
    });
}
