//! While a log is open.

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use tidewal::Lsn;
use tidewal::sim::SimDisk;

use crate::helpers::{
    WAYS, Way, assert_free, assert_locked, assert_says_locked, fill, listing, on_disk, read_all,
};
use crate::support::{self, DIR, options};

#[test]
fn nobody_else_gets_a_log_that_is_open() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        assert_locked(&dir, &WAYS).await;
        assert_eq!(wal.append("still works").await.unwrap(), Lsn::FIRST);
        assert_locked(&dir, &WAYS).await;
        wal.close().await.unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn nobody_else_gets_a_log_of_which_one_handle_is_left() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let last = wal.clone();
        drop(wal);
        assert_locked(&dir, &WAYS).await;
        drop(last);
        assert_free(&dir).await;
    });
}

#[test]
fn nobody_else_gets_a_log_that_is_being_recovered() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let mut recovery = options().recover(&dir).await.unwrap();
        assert_locked(&dir, &WAYS).await;
        recovery.try_next().await.unwrap().unwrap();
        assert_locked(&dir, &WAYS).await;
        while recovery.try_next().await.unwrap().is_some() {}
        assert_locked(&dir, &WAYS).await;
        let wal = recovery.into_wal().await.unwrap();
        assert_locked(&dir, &WAYS).await;
        wal.close().await.unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn readers_share_a_log_and_keep_appenders_out() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let first = options().read(&dir).await.unwrap();
        let second = options().read(&dir).await.unwrap();
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(read_all(first).await.len(), 10);
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(read_all(second).await.len(), 10);
        assert_free(&dir).await;
    });
}

#[test]
fn logs_beside_and_below_each_other_do_not_disturb() {
    on_disk(async |dir| {
        let dirs = [dir.clone(), dir.join("below"), dir.with_file_name("beside")];
        let wals = join_all(dirs.iter().map(|dir| options().open(dir))).await;
        for wal in wals {
            let wal = wal.unwrap();
            assert_eq!(wal.append("mine").await.unwrap(), Lsn::FIRST);
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn a_log_is_the_same_by_whatever_path() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let mut paths = vec![dir.join("."), dir.join("../log"), dir.join("")];
        #[cfg(unix)]
        {
            let link = dir.with_file_name("link");
            std::os::unix::fs::symlink(&dir, &link).unwrap();
            paths.push(link);
        }
        for path in paths {
            assert_locked(&path, &WAYS).await;
        }
        wal.close().await.unwrap();
    });
}

#[test]
fn a_refusal_comes_at_once() {
    support::run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let start = tokio::time::Instant::now();
        let refusals = async {
            [
                options().open_on(&disk, DIR).await.unwrap_err(),
                options().recover_on(&disk, DIR).await.unwrap_err(),
                options().read_on(&disk, DIR).await.unwrap_err(),
            ]
        };
        let refusals = tokio::time::timeout(Duration::from_secs(60), refusals).await;
        for error in refusals.expect("no opener waits for a log that is not closing") {
            assert_says_locked(&error, Path::new(DIR));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        wal.close().await.unwrap();
    });
}

#[test]
fn whoever_is_refused_changes_nothing() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let reader = options().read(&dir).await.unwrap();
        let before = listing(&dir);
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(listing(&dir), before);
        assert_eq!(read_all(reader).await.len(), 10);
    });
}
