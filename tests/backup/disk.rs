//! Backups on the machine's own disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use tidewal::{Lsn, Wal};

fn options() -> tidewal::WalOptions {
    Wal::options().segment_size(64 * 1024)
}

async fn read(dir: &std::path::Path) -> Vec<tidewal::Record> {
    let mut reader = options().read(dir).await.unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().await.unwrap() {
        records.push(record);
    }
    assert!(reader.report().torn_tail.is_none(), "it was closed");
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_copied_while_producers_append_and_truncate() {
    let scratch = tempfile::tempdir().unwrap();
    let wal = options().open(scratch.path().join("log")).await.unwrap();
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..4)
        .map(|producer: u8| {
            let (wal, is_over) = (wal.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let lsn = wal.append(vec![producer; 700]).await.unwrap();
                    if lsn.get() % 100 == 0 {
                        let mark = Lsn::new(lsn.get().saturating_sub(200));
                        wal.truncate_before(mark).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for number in 0..10 {
        let dir = scratch.path().join(format!("backups/{number}"));
        let acknowledged = wal.append("before").await.unwrap();
        let last = wal.backup(&dir).await.unwrap();
        let records = read(&dir).await;
        assert!(last >= acknowledged && records.last().unwrap().lsn == last);
        let is_dense = |pair: &[tidewal::Record]| pair[0].lsn.next() == pair[1].lsn;
        assert!(records.windows(2).all(is_dense));
        let found = records.iter().find(|record| record.lsn == acknowledged);
        assert_eq!(found.unwrap().payload, "before");
    }
    is_over.store(true, Ordering::Relaxed);
    for producer in producers {
        producer.await.unwrap();
    }
    wal.close().await.unwrap();
}

/// Files are private, not linked to the log's files, and no larger than the records if the disk
/// supports holes.
#[tokio::test]
async fn what_is_written_is_private_and_nothing_is_linked() {
    let scratch = tempfile::tempdir().unwrap();
    let large = Wal::options().segment_size(8 << 20);
    let wal = large.open(scratch.path().join("log")).await.unwrap();
    wal.append(vec![1; 100_000]).await.unwrap();
    let dir = scratch.path().join("deep/er/backup");
    wal.backup(&dir).await.unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600);
        let file = fs::metadata(&path).unwrap();
        assert_eq!((file.nlink(), file.len()), (1, 8 << 20));
        assert!(file.blocks() * 512 < 1 << 20, "it has holes");
    }
}

/// The backup is in the directory that its path referred to when it began, as is the log.
#[tokio::test]
async fn a_relative_path_is_resolved_once() {
    let scratch = tempfile::tempdir_in(".").unwrap();
    let wal = options().open(scratch.path().join("log")).await.unwrap();
    wal.append("x").await.unwrap();
    let relative = scratch.path().file_name().unwrap();
    let relative = std::path::Path::new(relative).join("backup");
    assert!(relative.is_relative());
    wal.backup(&relative).await.unwrap();
    assert_eq!(read(&relative).await.len(), 1);
}
