//! What fails while a new segment is prepared and gets its name.

use std::io;

use tidewal::Error;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal_testing::harness::faults::cause;
use tidewal_testing::support::{DIR, options, run, spares};

use crate::helpers::{BIG, open, open_with_one_segment, open_with_spares, recovered};

#[test]
fn what_fails_while_a_segment_is_prepared_refuses_appends_and_nothing_else() {
    let prepares = [
        Operation::Create,
        Operation::Allocate,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
    ];
    for operation in prepares {
        run(async {
            let disk = SimDisk::new(1);
            let wal = open_with_one_segment(&disk).await;
            disk.fail_on(operation, ".spare", 0, io::ErrorKind::Other);
            let refused = wal.append(BIG).await.unwrap_err();
            let is_refused = matches!(refused, Error::SegmentUnavailable(_));
            assert!(is_refused && !refused.is_outcome_unknown(), "{refused:?}");
            assert_eq!(cause(&refused).unwrap().kind(), io::ErrorKind::Other);
            assert_eq!(wal.stats().segment_unavailable, 1);
            assert!(
                disk.files(DIR).iter().all(|name| !name.contains(".spare")),
                "what failed does not stay: {operation:?}"
            );
            assert_eq!(wal.append("fits").await.unwrap().get(), 2);
            assert_eq!(wal.append(BIG).await.unwrap().get(), 3);
            disk.restart(Survival::Nothing);
            assert_eq!(recovered(&disk).await, 3, "{operation:?}");
        });
    }
}

/// The name may now belong to a segment that the log does not know about.
#[test]
fn a_rename_of_unknown_outcome_poisons() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        disk.fail_on(Operation::Rename, ".spare", 0, io::ErrorKind::Other);
        disk.write_file(format!("{DIR}/00000000000000000002.wal"), vec![0; 5000]);
        let error = wal.append(BIG).await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
    });
}

/// A remote file system that loses an answer repeats the request, and reports the second result.
/// Further records in the old segment would be after the end that the new one names, and the next
/// recovery would drop them.
#[test]
fn regression_a_rename_that_was_done_and_says_that_a_name_is_missing_or_taken_poisons() {
    for kind in [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = open_with_one_segment(&disk).await;
            disk.fail_after_rename(".spare", 0, kind);
            let error = wal.append(BIG).await.unwrap_err();
            assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
            let error = wal.append("fits").await.unwrap_err();
            assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
            assert_eq!(recovered(&disk).await, 1);
        });
    }
}

#[test]
fn a_name_that_another_file_has_is_refused() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        disk.write_file(format!("{DIR}/00000000000000000002.wal"), vec![0; 5000]);
        let error = wal.append(BIG).await.unwrap_err();
        assert!(matches!(error, Error::SegmentUnavailable(_)), "{error:?}");
        assert!(disk.remove_file(format!("{DIR}/00000000000000000002.wal")));
        assert_eq!(wal.append(BIG).await.unwrap().get(), 2);
    });
}

#[test]
fn the_segment_before_is_opened_before_the_new_one_exists() {
    run(async {
        let disk = SimDisk::new(1);
        open_with_one_segment(&disk).await.close().await.unwrap();
        let wal = open(&disk).await;
        disk.fail_on(Operation::Open, ".wal", 0, io::ErrorKind::Other);
        let refused = wal.append("refused").await.unwrap_err();
        assert!(
            matches!(refused, Error::SegmentUnavailable(_)),
            "{refused:?}"
        );
        assert_eq!(wal.append("appended").await.unwrap().get(), 2);
        wal.close().await.unwrap();
        assert_eq!(recovered(&disk).await, 2);
    });
}

/// The writer removes a file that did not become a segment. If it cannot, it still says why the
/// file did not.
#[test]
fn a_spare_that_cannot_be_removed_either_stays_until_the_next_start() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_one_segment(&disk).await;
        disk.fail_on(Operation::Sync, ".spare", 0, io::ErrorKind::Other);
        disk.fail_on(
            Operation::Remove,
            ".spare",
            0,
            io::ErrorKind::PermissionDenied,
        );
        let refused = wal.append(BIG).await.unwrap_err();
        assert!(
            matches!(refused, Error::SegmentUnavailable(_)),
            "{refused:?}"
        );
        assert_eq!(cause(&refused).unwrap().kind(), io::ErrorKind::Other);
        assert_eq!(spares(&disk).len(), 1);
        assert_eq!(wal.append(BIG).await.unwrap().get(), 2);
        assert_eq!(spares(&disk).len(), 1, "it is not used");
        wal.close().await.unwrap();
        let options = options().spare_segments(0);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        assert!(spares(&disk).is_empty());
        wal.close().await.unwrap();
        assert_eq!(recovered(&disk).await, 2);
    });
}

/// Each removed spare was tried, and its failure refused a batch.
#[test]
fn regression_spares_that_were_removed_refuse_no_append() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open_with_spares(&disk).await;
        for name in spares(&disk) {
            assert!(disk.remove_file(format!("{DIR}/{name}")));
        }
        assert_eq!(wal.append(BIG).await.unwrap().get(), 2);
        wal.close().await.unwrap();
    });
}
