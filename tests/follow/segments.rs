//! Finished segments as values.

use std::io::ErrorKind;

use tidewal::sim::Operation;
use tidewal::{Error, FinishedSegment, Lsn, Wal};
use tokio_test::{assert_pending, assert_ready, task};

use crate::helpers::{append, log, segments, settle};
use crate::support::{DIR, options, run};

async fn bytes_of(segment: &FinishedSegment) -> Result<Vec<u8>, Error> {
    let (mut bytes, mut all) = (segment.bytes(), Vec::new());
    while let Some(piece) = bytes.try_next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[test]
fn finished_segments_come_in_order_and_then_as_they_are_finished() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 40).await;
        let bases = segments(&disk);
        let mut finished = wal.finished_segments(Lsn::ZERO);
        for pair in bases.windows(2) {
            let segment = finished.try_next().await.unwrap().unwrap();
            assert_eq!(segment.first(), Lsn::new(pair[0]));
            assert_eq!(segment.last(), Lsn::new(pair[1] - 1));
            segment.verify().await.unwrap();
            assert_eq!(
                bytes_of(&segment).await.unwrap().len() as u64,
                segment.size()
            );
        }
        let mut finished = task::spawn(finished);
        assert_pending!(finished.poll_next());
        wal.rotate().await.unwrap();
        assert!(finished.is_woken());
        let segment = assert_ready!(finished.poll_next()).unwrap().unwrap();
        assert_eq!(segment.last(), Lsn::new(40));
        assert_pending!(finished.poll_next());
        wal.close().await.unwrap();
        assert!(assert_ready!(finished.poll_next()).is_none());
        assert!(assert_ready!(finished.poll_next()).is_none());
    });
}

#[test]
fn a_stream_of_segments_begins_with_the_one_that_holds_the_record() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 40).await;
        let bases = segments(&disk);
        let first = |from: u64| wal.finished_segments(Lsn::new(from));
        for from in [bases[1], bases[1] + 1, bases[2] - 1] {
            let segment = first(from).try_next().await.unwrap().unwrap();
            assert_eq!(segment.first(), Lsn::new(bases[1]), "{from}");
        }
        let error = first(42).try_next().await.unwrap_err();
        assert!(matches!(error, Error::BeyondEnd { .. }), "{error:?}");
        wal.truncate_before(Lsn::new(bases[2])).await.unwrap();
        let error = first(bases[1]).try_next().await.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
    });
}

/// The bytes do not include the statement and the head mark.
#[test]
fn the_bytes_are_those_of_the_file_and_the_same_at_each_reading() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 40).await;
        let bases = segments(&disk);
        let mut finished = wal.finished_segments(Lsn::new(bases[2]));
        let segment = finished.try_next().await.unwrap().unwrap();
        let before = bytes_of(&segment).await.unwrap();
        wal.truncate_before(Lsn::new(bases[2])).await.unwrap();
        let after = bytes_of(&segment).await.unwrap();
        assert!(before == after, "the head mark is no part of it");
        let file = disk.read(format!("{DIR}/{:020}.wal", bases[2])).unwrap();
        assert!(file[4096..before.len()] == before[4096..]);
        assert!(file[..72] == before[..72]);
    });
}

#[test]
fn a_damaged_segment_is_found_by_its_check_and_is_still_read() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 40).await;
        let name = format!("{DIR}/{:020}.wal", segments(&disk)[1]);
        assert!(disk.corrupt(name, |bytes| bytes[9000] ^= 1));
        let mut finished = wal.finished_segments(Lsn::new(segments(&disk)[1]));
        let segment = finished.try_next().await.unwrap().unwrap();
        let error = segment.verify().await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
        bytes_of(&segment).await.unwrap();
    });
}

#[test]
fn a_segment_that_has_gone_says_so() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 40).await;
        let mut finished = wal.finished_segments(Lsn::ZERO);
        let first = finished.try_next().await.unwrap().unwrap();
        let second = finished.try_next().await.unwrap().unwrap();
        wal.truncate_before(second.first()).await.unwrap();
        let error = first.verify().await.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
        let error = bytes_of(&first).await.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
        second.verify().await.unwrap();
        wal.close().await.unwrap();
        assert!(matches!(second.verify().await, Err(Error::Closed)));
        assert!(matches!(bytes_of(&second).await, Err(Error::Closed)));
    });
}

/// A log that is poisoned was told as one that is closed.
#[test]
fn regression_the_stream_of_segments_says_how_the_log_ended() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 1).await;
        let mut finished = wal.finished_segments(Lsn::ZERO);
        let mut next = task::spawn(finished.try_next());
        assert_pending!(next.poll());
        disk.fail(Operation::Sync, 0, ErrorKind::Other);
        wal.append("a sync fails").await.unwrap_err();
        settle().await;
        assert!(next.is_woken());
        let error = assert_ready!(next.poll()).unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
    });
}

#[test]
fn a_log_that_is_closed_too_early_for_the_stream_of_segments_says_so() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 40).await;
        let mut all = wal.finished_segments(Lsn::ZERO);
        let mut early = wal.finished_segments(Lsn::ZERO);
        early.try_next().await.unwrap().unwrap();
        let count = usize::try_from(wal.stats().segments_kept - 1).unwrap();
        for _ in 0..count {
            all.try_next().await.unwrap().unwrap();
        }
        wal.close().await.unwrap();
        assert!(all.try_next().await.unwrap().is_none());
        assert!(matches!(early.try_next().await, Err(Error::Closed)));
        assert!(early.try_next().await.unwrap().is_none(), "it has ended");
    });
}

/// `FinishedSegments`: "`try_next` and the stream are cancel safe: no segment is missed."
///
/// `SegmentBytes`: "`try_next` and the stream of bytes are cancel safe: no piece is lost."
#[test]
fn dropping_a_future_misses_no_segment() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut finished = wal.finished_segments(Lsn::ZERO);
        let mut next = task::spawn(finished.try_next());
        assert_pending!(next.poll());
        append(&wal, 1).await;
        wal.rotate().await.unwrap();
        assert!(next.is_woken());
        drop(next);
        let segment = finished.try_next().await.unwrap().unwrap();
        let mut bytes = segment.bytes();
        let mut next = task::spawn(bytes.try_next());
        assert_pending!(next.poll());
        settle().await;
        drop(next);
        assert_eq!(
            bytes.try_next().await.unwrap().unwrap().len() as u64,
            segment.size()
        );
        assert!(bytes.try_next().await.unwrap().is_none());
    });
}

/// `FinishedSegment::verify`: "Cancel safe: it changes nothing."
#[test]
fn a_check_that_is_dropped_changes_nothing() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 1).await;
        wal.rotate().await.unwrap();
        let mut finished = wal.finished_segments(Lsn::ZERO);
        let segment = finished.try_next().await.unwrap().unwrap();
        let mut check = task::spawn(segment.verify());
        assert_pending!(check.poll());
        drop(check);
        segment.verify().await.unwrap();
        wal.close().await.unwrap();
    });
}

/// Many blocks of the read-ahead in one finished segment, and the next one open.
async fn long_segment(wal: &Wal) -> FinishedSegment {
    for _ in 0..32 {
        wal.append(vec![7; 1 << 20]).await.unwrap();
    }
    wal.rotate().await.unwrap();
    let mut finished = wal.finished_segments(Lsn::ZERO);
    finished.try_next().await.unwrap().unwrap()
}

#[test]
fn a_check_stops_between_blocks_when_the_log_closes() {
    run(async {
        let (_, wal) = log(options().segment_size(64 << 20)).await;
        let segment = long_segment(&wal).await;
        let (checked, closed) = tokio::join!(segment.verify(), wal.close());
        closed.unwrap();
        assert!(matches!(checked, Err(Error::Closed)), "{checked:?}");
    });
}

#[test]
fn a_check_stops_between_blocks_when_the_segment_is_truncated() {
    run(async {
        let (_, wal) = log(options().segment_size(64 << 20)).await;
        let segment = long_segment(&wal).await;
        let before = segment.last().next();
        let (checked, truncated) = tokio::join!(segment.verify(), wal.truncate_before(before));
        truncated.unwrap();
        assert!(
            matches!(checked, Err(Error::Truncated { .. })),
            "{checked:?}"
        );
        wal.close().await.unwrap();
    });
}
