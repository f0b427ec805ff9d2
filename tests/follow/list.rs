//! The segments of a log as they are at a moment.

use std::time::Duration;

use tidewal::{Error, FinishedSegment, Lsn, SegmentEnd};
use tokio_test::{assert_pending, assert_ready, task};

use crate::helpers::{append, log, segments, settle};
use crate::support::{DIR, options, run};

#[test]
fn a_list_has_what_the_files_have() {
    run(async {
        let (disk, wal) = log(options()).await;
        let mut list = wal.segments();
        let empty = list.list();
        assert_eq!(
            (empty.log_id, empty.open, empty.durable),
            (None, None, Lsn::ZERO)
        );
        append(&wal, 40).await;
        let list = list.list();
        let bases = segments(&disk);
        let firsts: Vec<_> = list
            .finished
            .iter()
            .map(|found| found.first().get())
            .collect();
        assert_eq!(firsts, bases[..bases.len() - 1]);
        let open = list.open.unwrap();
        assert_eq!(
            (open.base.get(), list.durable),
            (*bases.last().unwrap(), Lsn::new(40))
        );
        assert_eq!(open.predecessor, list.finished.last().map(end_of));
        assert!(open.is_valid());
        for pair in list.finished.windows(2) {
            let header = pair[1].header();
            assert_eq!(header.predecessor, Some(end_of(&pair[0])));
            assert_eq!(Some(header.log_id), list.log_id);
            assert_eq!(header.base, pair[0].last().next());
            assert!(disk.read(pair[1].path()).is_some());
        }
    });
}

fn end_of(segment: &FinishedSegment) -> SegmentEnd {
    SegmentEnd {
        salt: segment.header().salt,
        end: segment.size(),
    }
}

/// `Segments::changed`: "Cancel safe: no change is missed."
#[test]
fn every_change_is_told_until_the_log_closes() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut list = wal.segments();
        assert_eq!(list.list().finished.len(), 0);
        let mut changed = task::spawn(list.changed());
        assert_pending!(changed.poll());
        append(&wal, 1).await;
        assert!(changed.is_woken(), "a segment was opened");
        drop(changed);
        assert!(list.changed().await);
        assert!(list.list().open.is_some());
        let hold = wal.hold(Lsn::FIRST).unwrap();
        assert!(list.changed().await, "there is a hold");
        assert!(list.list().open.is_some());
        wal.rotate().await.unwrap();
        assert!(list.changed().await);
        assert_eq!(list.list().finished.len(), 1);
        wal.close().await.unwrap();
        assert!(!list.changed().await);
        assert!(!list.changed().await);
        drop(hold);
    });
}

/// `Segments::rotate_if_older_than`: "If the future is dropped before it completes, the rotation may still
/// happen."
#[test]
fn the_open_segment_is_finished_without_keeping_the_log_open() {
    run(async {
        let (disk, wal) = log(options()).await;
        let mut list = wal.segments();
        append(&wal, 2).await;
        let minute = Duration::from_secs(60);
        list.rotate_if_older_than(minute).await.unwrap();
        assert_eq!(list.list().finished.len(), 0, "it is younger");
        tokio::time::sleep(minute).await;
        let mut rotation = task::spawn(list.rotate_if_older_than(minute));
        let _ = rotation.poll();
        drop(rotation);
        settle().await;
        assert_eq!(list.list().finished.len(), 1);
        drop(wal);
        settle().await;
        assert!(!list.changed().await);
        let closed = list.rotate_if_older_than(minute).await;
        assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
        let mut closed = task::spawn(list.changed());
        assert!(!assert_ready!(closed.poll()));
        options().open_on(&disk, DIR).await.unwrap();
    });
}
