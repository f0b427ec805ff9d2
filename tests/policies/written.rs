//! `Durability::Written`: an answer before the sync.

use std::time::Duration;

use tidewal::{Durability, Error, Lsn, Wal};
use tokio::time::sleep;

use crate::helpers::{
    AGES, INTERVAL, SYNC, interval, is_durable, log, manual, ms, timed, work_since,
};
use crate::support::{options, policies, run};

/// Checks that an append returns without a sync, and that its record is not durable yet.
async fn append_written(wal: &Wal, append: impl Future<Output = Result<Lsn, Error>>) -> Lsn {
    let (before, durable) = (wal.stats(), wal.durable_lsn());
    let (lsn, took) = timed(append).await;
    assert_eq!(took, Duration::ZERO);
    assert_eq!(
        work_since(&before, wal),
        (1, 0),
        "written at once, and not synced"
    );
    assert_eq!(wal.durable_lsn(), durable);
    lsn.unwrap()
}

#[test]
fn a_written_append_returns_without_a_sync_under_every_policy() {
    for policy in policies() {
        run(async {
            let (_, wal) = log(options().sync_policy(policy)).await;
            let append = wal.append_with("x", Durability::Written);
            assert_eq!(append_written(&wal, append).await, Lsn::new(2));
        });
    }
}

#[test]
fn a_log_that_says_written_does_so_for_every_way_to_append() {
    for policy in policies() {
        run(async {
            let options = options()
                .sync_policy(policy)
                .durability(Durability::Written);
            let (_, wal) = log(options).await;
            append_written(&wal, wal.append("x")).await;
            append_written(&wal, async { wal.submit("x").await?.await }).await;
            append_written(&wal, async { wal.try_submit("x")?.await }).await;
            let batch = async { Ok(*wal.append_batch(["x", "y"]).await?.end()) };
            assert_eq!(append_written(&wal, batch).await, Lsn::new(6));
        });
    }
}

#[test]
fn an_append_can_ask_for_more_than_its_log_does() {
    run(async {
        let (_, wal) = log(options().durability(Durability::Written)).await;
        let (lsn, took) = timed(wal.append_with("x", Durability::Durable)).await;
        assert_eq!(took, SYNC);
        assert_eq!(wal.durable_lsn(), lsn.unwrap());
    });
}

#[test]
fn under_always_a_written_record_is_synced_ten_milliseconds_later() {
    run(async {
        let (_, wal) = log(options()).await;
        let lsn = wal.append_with("x", Durability::Written).await.unwrap();
        assert_eq!(timed(is_durable(&wal, lsn)).await.1, ms(10) + SYNC);
    });
}

#[test]
fn under_always_later_written_records_do_not_put_the_sync_off() {
    run(async {
        let (_, wal) = log(options().durability(Durability::Written)).await;
        let lsn = wal.append("x").await.unwrap();
        let more = async {
            for _ in 0..8 {
                sleep(ms(3)).await;
                wal.append("more").await.unwrap();
            }
        };
        let (durable, ()) = tokio::join!(timed(is_durable(&wal, lsn)), more);
        assert_eq!(durable.1, ms(10) + SYNC);
    });
}

#[test]
fn under_an_interval_a_written_record_is_synced_when_it_ends() {
    run(async {
        let (_, wal) = log(interval()).await;
        let lsn = wal.append_with("x", Durability::Written).await.unwrap();
        assert_eq!(timed(is_durable(&wal, lsn)).await.1, INTERVAL + SYNC);
    });
}

#[test]
fn under_manual_a_written_record_is_synced_by_sync_only() {
    run(async {
        let (_, wal) = log(manual()).await;
        let lsn = wal.append_with("x", Durability::Written).await.unwrap();
        sleep(AGES).await;
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
        assert_eq!(wal.sync().await.unwrap(), lsn);
        assert_eq!(wal.durable_lsn(), lsn);
    });
}

#[test]
fn a_durable_append_among_written_ones_makes_all_of_them_durable() {
    run(async {
        let (_, wal) = log(options()).await;
        let before = wal.stats();
        wal.append_with("1", Durability::Written).await.unwrap();
        let written = wal.append_with("2", Durability::Written);
        let durable = wal.append("3");
        let later = wal.append_with("4", Durability::Written);
        let ((durable, took), ..) = tokio::join!(timed(durable), written, later);
        assert_eq!(took, SYNC);
        assert!(durable.unwrap() < wal.durable_lsn());
        assert_eq!(wal.durable_lsn(), Lsn::new(5));
        sleep(AGES).await;
        assert_eq!(
            work_since(&before, &wal),
            (2, 1),
            "nothing was left to sync"
        );
    });
}
