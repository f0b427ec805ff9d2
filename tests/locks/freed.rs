//! When a log is free again.

use futures::future::join_all;
use tidewal::{Error, Lsn};

use crate::helpers::{
    WAYS, assert_free, assert_says_locked, collect, fill, on_disk, read_all, submit,
};
use crate::support::options;

#[test]
fn a_log_is_free_once_it_is_closed() {
    on_disk(async |dir| {
        for round in 0..20 {
            let wal = options().open(&dir).await.unwrap();
            let other = wal.clone();
            let lsn = wal.append("record").await.unwrap();
            assert_eq!(lsn, Lsn::new(round + 1));
            wal.close().await.unwrap();
            // The other handle is of no consequence.
            assert_free(&dir).await;
            drop(other);
        }
    });
}

/// Another path represents another process: in this process, opening waits only for the same path.
#[cfg(unix)]
#[test]
fn a_log_that_was_closed_need_not_be_waited_for() {
    on_disk(async |dir| {
        std::fs::create_dir(&dir).unwrap();
        let link = dir.with_file_name("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        for _ in 0..20 {
            let wal = options().open(&dir).await.unwrap();
            submit(&wal, 10).await;
            wal.close().await.unwrap();
            assert_free(&link).await;
        }
    });
}

#[test]
fn a_log_is_free_once_its_recovery_is_dropped() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        for to_read in 0..=11 {
            let mut recovery = options().recover(&dir).await.unwrap();
            for _ in 0..to_read {
                recovery.try_next().await.unwrap();
            }
            drop(recovery);
            assert_free(&dir).await;
        }
    });
}

#[test]
fn a_log_is_free_once_opening_it_has_failed() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let beyond = options().start_at(Lsn::new(100));
        let recovery = beyond.recover(&dir).await.unwrap();
        let error = recovery.into_wal().await.unwrap_err();
        assert!(matches!(error, Error::BeyondEnd { .. }), "{error:?}");
        assert_free(&dir).await;

        let segment = dir.join("00000000000000000001.wal");
        let bytes = std::fs::read(&segment).unwrap();
        std::fs::write(&segment, "no segment").unwrap();
        let error = options().open(&dir).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
        std::fs::write(&segment, bytes).unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn reopening_waits_for_a_log_whose_last_handle_was_dropped() {
    on_disk(async |dir| {
        for round in 0..10 {
            let wal = options().open(&dir).await.unwrap();
            submit(&wal, 100).await;
            drop(wal);
            let mut recovery = options().recover(&dir).await.unwrap();
            let records = collect(&mut recovery).await;
            assert_eq!(records.len(), (round + 1) * 100);
            assert_eq!(
                recovery.report().torn_tail,
                None,
                "it was closed in the background"
            );
        }
    });
}

#[test]
fn every_way_of_reopening_waits() {
    on_disk(async |dir| {
        for (round, way) in WAYS.into_iter().cycle().take(9).enumerate() {
            let wal = options().open(&dir).await.unwrap();
            submit(&wal, 50).await;
            drop(wal);
            way.go(&dir).await.unwrap();
            let wal = options().open(&dir).await.unwrap();
            assert_eq!(wal.durable_lsn().get(), (round as u64 + 1) * 50);
        }
    });
}

#[test]
fn of_many_who_wait_for_a_closing_log_one_gets_it() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        submit(&wal, 500).await;
        drop(wal);
        let opened = join_all((0..8).map(|_| options().open(&dir))).await;
        let (winners, losers): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert_eq!(winners.len(), 1);
        for loser in losers {
            assert_says_locked(&loser.unwrap_err(), &dir);
        }
        for winner in winners {
            let wal = winner.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::new(500));
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn all_readers_who_wait_for_a_closing_log_get_it() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        submit(&wal, 500).await;
        drop(wal);
        for reader in join_all((0..8).map(|_| options().read(&dir))).await {
            assert_eq!(read_all(reader.unwrap()).await.len(), 500);
        }
    });
}

#[test]
fn reopening_waits_for_a_close_that_nobody_awaits() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let other = wal.clone();
        submit(&wal, 100).await;
        let mut closing = Box::pin(wal.close());
        assert!(futures::poll!(closing.as_mut()).is_pending());
        drop(closing);
        assert_eq!(
            read_all(options().read(&dir).await.unwrap()).await.len(),
            100
        );
        let error = other.append("too late").await.unwrap_err();
        assert!(matches!(error, Error::Closed), "{error:?}");
    });
}

#[test]
fn an_opening_that_is_dropped_gives_the_log_free() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        for polls in 0..20 {
            let mut opening = Box::pin(options().open(&dir));
            for _ in 0..polls {
                if futures::poll!(opening.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(opening);
            let wal = options().open(&dir).await.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::new(10));
            wal.close().await.unwrap();
        }
    });
}
