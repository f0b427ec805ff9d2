//! Options out of their bounds.

use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Error, SyncPolicy, Wal, WalOptions};

use crate::helpers::{ROOM, SEGMENT_LEN};
use crate::support::{DIR, options, run};

#[tokio::test]
async fn an_option_out_of_bounds_is_named_with_its_bound() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    for (options, field, bound) in out_of_bounds() {
        let refused = [
            options.clone().open(&dir).await.map(drop),
            options.clone().recover(&dir).await.map(drop),
            options.clone().read(&dir).await.map(drop),
        ];
        for result in refused {
            assert_invalid(&result.unwrap_err(), field, bound);
        }
    }
    assert!(!dir.exists(), "nothing was opened");
}

#[test]
fn options_are_checked_on_a_simulated_disk_too() {
    run(async {
        let disk = SimDisk::new(1);
        for (options, field, bound) in out_of_bounds() {
            let refused = [
                options.clone().open_on(&disk, DIR).await.map(drop),
                options.clone().recover_on(&disk, DIR).await.map(drop),
                options.clone().read_on(&disk, DIR).await.map(drop),
            ];
            for result in refused {
                assert_invalid(&result.unwrap_err(), field, bound);
            }
        }
        assert_eq!(disk.operations(), 0);
    });
}

#[tokio::test]
async fn options_at_their_bounds_are_accepted() {
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    let o = Wal::options;
    let accepted = [
        o().sync_policy(SyncPolicy::Interval(Duration::from_nanos(1))),
        o().segment_size(SEGMENT_LEN).max_record_size(ROOM),
        o().segment_size(u32::MAX.into()),
        o().max_batch_bytes(1).max_batch_records(1),
        o().max_batch_bytes(usize::MAX)
            .max_batch_records(usize::MAX),
        o().queue_bytes(1).queue_records(1),
        o().queue_bytes(u32::MAX as usize)
            .queue_records(u32::MAX as usize),
        o().spare_segments(0),
        o().spare_segments(64),
        o().busy_poll(Duration::from_millis(1)),
    ];
    for options in accepted {
        // Options are checked before the directory is accessed.
        let error = options.clone().read(&missing).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{options:?}: {error:?}");
    }
}

fn out_of_bounds() -> Vec<(WalOptions, &'static str, &'static str)> {
    let o = Wal::options;
    let interval = SyncPolicy::Interval(Duration::ZERO);
    let segment = "between 16384 and 4294967295 bytes";
    let room = "at most 12268 bytes, which is what a segment of this size holds";
    let mut cases = vec![
        (
            o().sync_policy(interval),
            "sync_policy",
            "an interval above zero and of at most one day",
        ),
        (o().segment_size(SEGMENT_LEN - 1), "segment_size", segment),
        (o().segment_size(0), "segment_size", segment),
        (o().segment_size(1 << 32), "segment_size", segment),
        (o().segment_size(u64::MAX), "segment_size", segment),
        (o().max_batch_bytes(0), "max_batch_bytes", "at least 1 byte"),
        (
            o().max_batch_records(0),
            "max_batch_records",
            "at least 1 record",
        ),
        (options().max_record_size(ROOM + 1), "max_record_size", room),
        (
            o().queue_bytes(0),
            "queue_bytes",
            "between 1 and 4294967295 bytes",
        ),
        (
            o().queue_records(0),
            "queue_records",
            "between 1 and 4294967295 records",
        ),
        (o().spare_segments(65), "spare_segments", "at most 64 files"),
        (
            o().busy_poll(Duration::from_micros(1001)),
            "busy_poll",
            "at most 1 ms",
        ),
    ];
    if let Some(too_many) = (u32::MAX as usize).checked_add(1) {
        let bytes = "between 1 and 4294967295 bytes";
        let records = "between 1 and 4294967295 records";
        cases.push((o().queue_bytes(too_many), "queue_bytes", bytes));
        cases.push((o().queue_records(too_many), "queue_records", records));
    }
    cases
}

#[track_caller]
fn assert_invalid(error: &Error, expected_field: &str, expected_bound: &str) {
    let Error::InvalidOptions { field, bound, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((*field, bound.as_str()), (expected_field, expected_bound));
    let message = format!("option {field} must be {bound}");
    assert_eq!(error.to_string(), message);
}
