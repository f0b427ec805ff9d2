//! Surveys and repairs whose futures are dropped.

use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::tools::{Depth, LogDir};
use tidewal::{Error, Wal};
use tokio::time::timeout;

use crate::support::{DIR, options, run};

const MOMENT: Duration = Duration::from_secs(1);

/// A log of three segments, open.
async fn log(disk: &SimDisk) -> Wal {
    let wal = options().open_on(disk, DIR).await.unwrap();
    for _ in 0..3 {
        wal.append([7; 9000].as_slice()).await.unwrap();
    }
    wal
}

/// `LogDir::survey`: "Dropping the future leaves nothing behind."
///
/// `LogDir::plan_repair`: "That of survey."
#[test]
fn a_survey_that_is_dropped_leaves_nothing_behind() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = log(&disk).await;
        disk.stall(0, 10 * MOMENT);
        let closing = tokio::spawn(wal.close());
        tokio::task::yield_now().await;
        let dir = LogDir::on(&disk, DIR);
        let before = disk.fingerprint();
        let surveyed = timeout(MOMENT, dir.survey(Depth::Everything, &mut ())).await;
        surveyed.expect_err("it waits for the log that is closing");
        let planned = timeout(MOMENT, dir.plan_repair(&mut ())).await;
        planned.expect_err("it waits as well");
        assert_eq!(disk.fingerprint(), before);
        closing.await.unwrap().unwrap();
        let survey = dir.survey(Depth::Everything, &mut ()).await.unwrap();
        assert!(survey.damages.is_empty());
        drop(options().open_on(&disk, DIR).await.unwrap());
    });
}

/// `RepairPlan::execute`: "Dropping the future is as a crash: see above."
#[test]
fn a_repair_that_is_dropped_can_be_done_again() {
    let mut dropped = 0;
    for sync in 0..20 {
        run(async {
            let disk = SimDisk::new(1);
            log(&disk).await.close().await.unwrap();
            let first = format!("{DIR}/00000000000000000002.wal");
            assert!(disk.corrupt(&first, |bytes| bytes[5000] ^= 1));
            let dir = LogDir::on(&disk, DIR);
            let plan = dir.plan_repair(&mut ()).await.unwrap();
            disk.stall(sync, 10 * MOMENT);
            let is_dropped = timeout(MOMENT, plan.execute(&mut ())).await.is_err();
            dropped += u32::from(is_dropped);
            disk.clear_faults();
            match options().open_on(&disk, DIR).await {
                Ok(wal) => drop(wal),
                Err(Error::Corrupt(_)) => {
                    let plan = dir.plan_repair(&mut ()).await.unwrap();
                    plan.execute(&mut ()).await.unwrap();
                }
                Err(other) => panic!("sync {sync}: {other:?}"),
            }
            let mut reader = options().read_on(&disk, DIR).await.unwrap();
            let record = reader
                .try_next()
                .await
                .unwrap()
                .expect("the first one stays");
            assert_eq!(record.payload, [7; 9000].as_slice());
        });
    }
    assert!(dropped > 0, "no repair waited for a sync");
}
