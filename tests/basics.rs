//! The main road, on the real disk.

use futures::TryStreamExt;
use tidewal::{Lsn, Record, Wal};

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
