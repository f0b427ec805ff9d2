//! The common case, on the real disk.

use std::time::Duration;

use futures::TryStreamExt as _;
use tidewal::{Durability, Lsn, Record, Wal};

async fn read_all(dir: &std::path::Path) -> Vec<Record> {
    Wal::recover(dir)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn appends_come_back_after_a_clean_close() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path()).await.unwrap();
    for number in 1..=100_u64 {
        assert_eq!(
            wal.append(number.to_string()).await.unwrap(),
            Lsn::new(number)
        );
    }
    wal.close().await.unwrap();
    let records = read_all(dir.path()).await;
    assert_eq!(records.len(), 100);
    assert_eq!(records[41].payload, "42");
}

/// Busy polling changes only when an answer arrives.
#[tokio::test]
async fn a_log_that_polls_busily_answers_alone_together_and_though_callers_go() {
    let dir = tempfile::tempdir().unwrap();
    let options = Wal::options().busy_poll(Duration::from_micros(200));
    let wal = options.open(dir.path()).await.unwrap();
    for number in 1..=100 {
        let durability = match number % 2 {
            0 => Durability::Durable,
            _ => Durability::Written,
        };
        let lsn = wal.append_with(number.to_string(), durability).await;
        assert_eq!(lsn.unwrap(), Lsn::new(number));
        tokio::time::sleep(Duration::from_micros(number)).await;
    }
    let together = (0..100).map(|_| wal.append("together"));
    futures::future::try_join_all(together).await.unwrap();
    drop(futures::poll!(Box::pin(wal.append("dropped"))));
    assert_eq!(wal.append("last").await.unwrap(), Lsn::new(202));
    wal.close().await.unwrap();
    assert_eq!(read_all(dir.path()).await.len(), 202);
}

#[test]
fn an_lsn_is_read_and_counted_like_a_number() {
    assert_eq!("17".parse(), Ok(Lsn::new(17)));
    assert!("-1".parse::<Lsn>().is_err());
    assert_eq!(Lsn::from(17), Lsn::new(17));
    assert_eq!(u64::from(Lsn::new(17)), 17);
    assert_eq!(Lsn::new(17).prev(), Lsn::new(16));
    assert_eq!(Lsn::ZERO.prev(), Lsn::ZERO);
    assert_eq!(Lsn::new(17).checked_add(3), Some(Lsn::new(20)));
    assert_eq!(Lsn::new(u64::MAX).checked_add(1), None);
}

#[test]
#[cfg(all(feature = "serde", feature = "json"))]
fn an_lsn_is_serialized_as_its_number() {
    assert_eq!(serde_json::to_string(&Lsn::new(17)).unwrap(), "17");
    assert_eq!(serde_json::from_str::<Lsn>("17").unwrap(), Lsn::new(17));
}

#[tokio::test]
async fn a_recovery_says_in_one_line_what_it_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut recovery = Wal::recover(dir.path()).await.unwrap();
    assert_eq!(recovery.try_next().await.unwrap(), None);
    let nothing = "recovered 0 records (0 bytes), the log holds no record, from 0 segments";
    assert_eq!(recovery.report().to_string(), nothing);
    let wal = recovery.into_wal().await.unwrap();
    wal.append_batch(["a", "bc", "de"]).await.unwrap();
    wal.close().await.unwrap();
    let mut recovery = Wal::recover(dir.path()).await.unwrap();
    while recovery.try_next().await.unwrap().is_some() {}
    let three = "recovered 3 records (5 bytes), LSN 1 to 3, from 1 segment";
    assert_eq!(recovery.report().to_string(), three);
}
