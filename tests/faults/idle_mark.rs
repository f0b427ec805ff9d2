//! The mark of an idle log.

use std::io;
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk};
use tidewal_testing::support::run;

use crate::helpers::{open_with_one_segment, recovered};

/// The mark only covers records that are durable anyway.
#[test]
fn a_failed_idle_mark_changes_nothing() {
    for operation in [Operation::Open, Operation::Write] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = open_with_one_segment(&disk).await;
            disk.fail_on(operation, ".wal", 0, io::ErrorKind::Other);
            let before = disk.operations();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(disk.failed_operations().len(), 1, "{operation:?}");
            let tried = u64::from(operation == Operation::Write);
            assert_eq!(disk.operations() - before, tried, "it is not tried again");
            wal.append("goes on").await.unwrap();
            wal.close().await.unwrap();
            assert_eq!(recovered(&disk).await, 2);
        });
    }
}
