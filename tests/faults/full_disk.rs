//! A full disk.

use std::io;

use tidewal::Error;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal_testing::harness::oracle::Oracle;
use tidewal_testing::harness::steps::Driver;
use tidewal_testing::harness::steps::Step::{Append, Sync, Truncate};
use tidewal_testing::support::{DIR, options, run};

use crate::helpers::recovered;

#[test]
fn a_full_disk_refuses_appends_and_nothing_else_and_recovers_with_room() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(0);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        disk.set_quota(Some(3 * 16 * 1024));
        let mut oracle = Oracle::default();
        let mut driver = Driver::new(&disk, &options, &mut oracle);
        let mut wal = driver.go_on(wal, &[Append(7000)]).await.unwrap();
        let full = loop {
            match driver.go_on(wal.clone(), &[Append(7000)]).await {
                Ok(same) => wal = same,
                Err(error) => break error,
            }
        };
        assert!(
            matches!(full, Error::StorageFull(_)) && !full.is_outcome_unknown(),
            "{full:?}"
        );
        assert_eq!(driver.oracle.durable.len(), 3);
        // Records that fit into the open segment are still appended.
        let wal = driver.go_on(wal, &[Append(100), Sync]).await.unwrap();
        assert!(matches!(
            wal.append(vec![0; 7000]).await,
            Err(Error::StorageFull(_))
        ));
        let more = [Truncate(1), Append(7000), Append(7000)];
        let wal = driver.go_on(wal, &more).await.unwrap();
        wal.close().await.unwrap();
        driver.recover().await.unwrap();
    });
}

/// The first segment of a log with spares gets zeros after its records, because no spare was ready
/// for it.
#[test]
fn zeros_for_which_there_is_no_space_are_left_out() {
    for is_short in [false, true] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = options().open_on(&disk, DIR).await.unwrap();
            if is_short {
                disk.short_io(Operation::Write, 2);
            }
            let zeros = 1 + u64::from(is_short);
            disk.fail_on(Operation::Write, ".wal", zeros, io::ErrorKind::StorageFull);
            assert_eq!(wal.append("record").await.unwrap().get(), 1);
            let failed = (Operation::Write, "00000000000000000001.wal".to_owned());
            assert_eq!(disk.failed_operations(), [failed], "{is_short}");
            assert_eq!(wal.append("next").await.unwrap().get(), 2);
            disk.restart(Survival::Nothing);
            assert_eq!(recovered(&disk).await, 2);
        });
    }
}

#[test]
fn zeros_that_fail_for_another_reason_poison() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        disk.fail_on(Operation::Write, ".wal", 1, io::ErrorKind::Other);
        let error = wal.append("record").await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
        let error = wal.append("later").await.unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
    });
}
