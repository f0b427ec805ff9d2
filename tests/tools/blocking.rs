//! Blocking functions: what they wait for, and what they do if they cannot wait.

use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::tools::{Depth, Ending, LogDir};
use tidewal::{Error, Wal};

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

fn assert_closing<T>(done: Result<T, Error>) {
    match done.map(drop) {
        Err(Error::Locked { holder, .. }) => {
            assert_eq!(holder, "this process is still closing it");
        }
        done => panic!("{done:?}"),
    }
}

/// On a simulated clock, no time passes while a function blocks.
#[test]
fn on_a_simulated_disk_a_log_that_is_closing_is_in_use() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = log(&disk).await;
        disk.stall(0, 10 * MOMENT);
        let closing = tokio::spawn(wal.close());
        tokio::task::yield_now().await;
        let dir = LogDir::on(&disk, DIR);
        let before = disk.fingerprint();
        assert_closing(dir.survey(Depth::Everything));
        assert_closing(dir.plan_repair());
        assert!(dir.survey(Depth::Headers).unwrap().in_use);
        assert_eq!(disk.fingerprint(), before);
        closing.await.unwrap().unwrap();
        let survey = dir.survey(Depth::Everything).unwrap();
        assert!(survey.corruptions.is_empty());
        drop(options().open_on(&disk, DIR).await.unwrap());
    });
}

/// The writer closes the log on its own thread, while the caller's runtime is blocked.
#[tokio::test]
async fn a_log_that_is_closing_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let wal = options().open(root.path()).await.unwrap();
        wal.append("x").await.unwrap();
        drop(wal);
        let survey = LogDir::new(root.path()).survey(Depth::Newest).unwrap();
        assert_eq!(survey.ending, Some(Ending::Closed));
    }
}

/// A simulated sync that takes time makes the repair fail. The repair can be done again.
#[test]
fn a_repair_whose_sync_stalls_fails_and_can_be_done_again() {
    let mut stalled = 0;
    for sync in 0..20 {
        run(async {
            let disk = SimDisk::new(1);
            log(&disk).await.close().await.unwrap();
            let first = format!("{DIR}/00000000000000000002.wal");
            assert!(disk.corrupt(&first, |bytes| bytes[5000] ^= 1));
            let dir = LogDir::on(&disk, DIR);
            let plan = dir.plan_repair().unwrap();
            disk.stall(sync, 10 * MOMENT);
            stalled += u32::from(plan.execute().is_err());
            disk.clear_faults();
            match options().open_on(&disk, DIR).await {
                Ok(wal) => drop(wal),
                Err(Error::Corrupt(_)) => drop(dir.plan_repair().unwrap().execute().unwrap()),
                Err(other) => panic!("sync {sync}: {other:?}"),
            }
            let mut reader = options().read_on(&disk, DIR).await.unwrap();
            let record = reader.try_next().await.unwrap();
            let record = record.expect("the first one stays");
            assert_eq!(record.payload, [7; 9000].as_slice());
        });
    }
    assert!(stalled > 0, "no repair waited for a sync");
}
