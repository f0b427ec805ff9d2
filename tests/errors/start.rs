//! Where reading may start, and how far a log may be truncated.

use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn, Wal};

use crate::helpers::{
    assert_records, collect, contents, log_of, payload, read_error, recovery_error, truncated_log,
};
use crate::support::{DIR, options, run};

#[test]
fn starting_below_the_oldest_record_is_an_error() {
    run(async {
        let disk = truncated_log().await;
        for asked in [1, 4] {
            let options = options().start_at(Lsn::new(asked));
            let before = contents(&disk);
            for error in [
                options.clone().recover_on(&disk, DIR).await.unwrap_err(),
                options.clone().recover_on(&disk, DIR).await.unwrap_err(),
                options.clone().read_on(&disk, DIR).await.unwrap_err(),
            ] {
                assert_truncated(&error, asked, 5);
            }
            assert_eq!(contents(&disk), before);
        }
    });
}

#[test]
fn starting_at_any_record_that_is_kept_delivers_it_and_those_after_it() {
    run(async {
        let disk = truncated_log().await;
        for first in 5..=12 {
            let options = options().start_at(Lsn::new(first));
            let records = collect(&options, &disk).await.unwrap();
            assert_records(&records, first..=12);
        }
        let options = options().start_at(Lsn::ZERO);
        let records = collect(&options, &disk).await.unwrap();
        assert_records(&records, 5..=12);
    });
}

#[test]
fn starting_right_after_the_end_delivers_nothing() {
    run(async {
        let disk = truncated_log().await;
        let options = options().start_at(Lsn::new(13));
        let mut recovery = options.recover_on(&disk, DIR).await.unwrap();
        assert!(recovery.try_next().await.unwrap().is_none());
        assert_eq!(recovery.report().end, Lsn::new(12));
        let wal = recovery.into_wal().await.unwrap();
        assert_eq!(wal.append("next").await.unwrap(), Lsn::new(13));
        wal.close().await.unwrap();
    });
}

#[test]
fn starting_beyond_the_end_is_an_error_of_the_stream_and_of_into_wal() {
    run(async {
        let disk = truncated_log().await;
        for asked in [14, 1000, u64::MAX] {
            let options = options().start_at(Lsn::new(asked));
            let before = contents(&disk);
            let recovery = options.clone().recover_on(&disk, DIR).await.unwrap();
            let unread = recovery.into_wal().await.unwrap_err();
            let errors = [
                unread,
                recovery_error(&options, &disk).await,
                recovery_error(&options, &disk).await,
                read_error(&options, &disk).await,
            ];
            for error in errors {
                assert_beyond_end(&error, asked, 12);
            }
            assert_eq!(contents(&disk), before);
        }
    });
}

#[test]
fn an_empty_log_starts_at_its_first_record() {
    run(async {
        let disk = SimDisk::new(1);
        for asked in [0, 1] {
            let options = options().start_at(Lsn::new(asked));
            assert!(collect(&options, &disk).await.unwrap().is_empty());
        }
        let options = options().start_at(Lsn::new(2));
        let error = recovery_error(&options, &disk).await;
        assert_beyond_end(&error, 2, 0);
    });
}

#[test]
fn opening_without_reading_does_not_care_where_reading_would_start() {
    run(async {
        let disk = truncated_log().await;
        for asked in [1, 100] {
            let options = options().start_at(Lsn::new(asked));
            let wal = options.open_on(&disk, DIR).await.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::new(12));
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn truncating_beyond_the_end_is_an_error_and_changes_nothing() {
    run(async {
        let disk = log_of(3).await;
        let wal = options().open_on(&disk, DIR).await.unwrap();
        assert_cannot_truncate(&disk, &wal, 12).await;
        wal.append(payload(13)).await.unwrap();
        assert_cannot_truncate(&disk, &wal, 13).await;
        wal.truncate_before(Lsn::new(14)).await.unwrap();
        assert_eq!(wal.append(payload(14)).await.unwrap(), Lsn::new(14));
        wal.close().await.unwrap();
    });
}

#[test]
fn an_empty_log_can_be_truncated_up_to_its_first_record() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for before in [0, 1] {
            wal.truncate_before(Lsn::new(before)).await.unwrap();
        }
        assert_cannot_truncate(&disk, &wal, 0).await;
        assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
        wal.close().await.unwrap();
    });
}

#[test]
fn truncating_to_the_beginning_does_nothing() {
    run(async {
        let disk = log_of(3).await;
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let before = contents(&disk);
        for mark in [0, 1, 4] {
            wal.truncate_before(Lsn::new(mark)).await.unwrap();
            assert_eq!(contents(&disk), before, "mark {mark}");
        }
        wal.close().await.unwrap();
        let records = collect(&options(), &disk).await.unwrap();
        assert_records(&records, 1..=12);
    });
}

async fn assert_cannot_truncate(disk: &SimDisk, wal: &Wal, end: u64) {
    let before = contents(disk);
    for asked in [end + 2, u64::MAX] {
        let error = wal.truncate_before(Lsn::new(asked)).await.unwrap_err();
        assert_beyond_end(&error, asked, end);
    }
    assert_eq!(contents(disk), before);
}

#[track_caller]
fn assert_truncated(error: &Error, expected_asked: u64, expected_oldest: u64) {
    let Error::Truncated { asked, oldest, .. } = error else {
        panic!("{error:?}");
    };
    let expected = (Lsn::new(expected_asked), Lsn::new(expected_oldest));
    assert_eq!((*asked, *oldest), expected);
    let message = error.to_string();
    assert!(message.contains(&format!("LSN {asked} ")), "{message}");
    assert!(message.ends_with(&format!(" {oldest}")), "{message}");
}

#[track_caller]
fn assert_beyond_end(error: &Error, expected_asked: u64, expected_end: u64) {
    let Error::BeyondEnd { asked, end, .. } = error else {
        panic!("{error:?}");
    };
    let expected = (Lsn::new(expected_asked), Lsn::new(expected_end));
    assert_eq!((*asked, *end), expected);
    let message = error.to_string();
    assert!(message.contains(&format!("LSN {asked} ")), "{message}");
    assert!(message.ends_with(&format!(" {end}")), "{message}");
}
