//! Logs that must exist, and logs that opening waits for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tidewal::{Error, Lsn};

use crate::helpers::{another_process, append, assert_opens, copy_dir, in_dir, options};

#[test]
fn a_log_that_has_to_exist_is_not_created() {
    in_dir(async |dir| {
        assert_no_log(&dir).await;
        assert!(!dir.exists());
        // Like an unmounted volume.
        fs::create_dir(&dir).unwrap();
        assert_no_log(&dir).await;
        fs::create_dir(dir.join("lost+found")).unwrap();
        assert_no_log(&dir).await;
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    });
}

async fn assert_no_log(dir: &Path) {
    for error in [
        options().create(false).open(dir).await.unwrap_err(),
        options().create(false).recover(dir).await.unwrap_err(),
    ] {
        let Error::NoLog { dir: named, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(named, dir);
    }
}

#[test]
fn a_log_that_has_to_exist_is_one_that_was_opened_before_or_a_copy() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        wal.close().await.unwrap();
        let wal = options().create(false).open(&dir).await.unwrap();
        assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
        wal.close().await.unwrap();
        let copy = dir.with_file_name("copy");
        copy_dir(&dir, &copy);
        fs::remove_file(copy.join("LOCK")).unwrap();
        let wal = options().create(false).open(&copy).await.unwrap();
        wal.close().await.unwrap();
    });
}

#[test]
fn whoever_is_refused_hears_the_number_of_the_process() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let said = another_process(&dir, &[]);
        if cfg!(target_os = "linux") {
            let holder = format!("appending by process {}", std::process::id());
            assert!(said.contains(&holder), "{said}");
        }
        wal.close().await.unwrap();
    });
}

#[test]
fn a_log_that_another_has_open_is_waited_for() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=5).await;
        let waits = options().lock_timeout(Duration::MAX).open(&dir);
        let mut waits = Box::pin(waits);
        assert!(futures::poll!(waits.as_mut()).is_pending());
        append(&wal, 6..=10).await;
        wal.close().await.unwrap();
        let wal = waits.await.unwrap();
        append(&wal, 11..=12).await;
        wal.close().await.unwrap();
        assert_opens(&dir, 1..=12).await;
    });
}

#[test]
fn a_log_is_waited_for_no_longer_than_was_asked_for() {
    use tidewal::sim::SimDisk;

    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, "log").await.unwrap();
        let start = tokio::time::Instant::now();
        let time = Duration::from_millis(1234);
        let opened = options().lock_timeout(time).open_on(&disk, "log").await;
        assert!(matches!(opened, Err(Error::Locked { .. })), "{opened:?}");
        assert_eq!(start.elapsed(), time);

        let waits = options().lock_timeout(Duration::MAX).open_on(&disk, "log");
        let closes = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            wal.close().await.unwrap();
        };
        let (opened, ()) = futures::join!(waits, closes);
        opened.unwrap().close().await.unwrap();
    });
}

#[test]
fn a_wait_for_a_log_that_is_dropped_ends() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let mut waits = Box::pin(options().lock_timeout(Duration::MAX).open(&dir));
        assert!(futures::poll!(waits.as_mut()).is_pending());
        drop(waits);
        wal.close().await.unwrap();
        // If the wait continued, it would sometimes have the log open.
        for _ in 0..20 {
            let wal = options().lock_timeout(Duration::from_secs(30)).open(&dir);
            wal.await.unwrap().close().await.unwrap();
        }
    });
}
