//! Followers of a log on a real disk, with its threads.

use std::time::Duration;

use tidewal::{Lsn, Wal};

use crate::helpers::{assert_record, payload};
use crate::support::within_a_minute;

const RECORDS: u64 = 3000;

/// Some keep up, some are behind and read files, and some begin late, while the log is truncated
/// behind all of them.
#[test]
fn many_followers_of_a_busy_log_each_get_every_record_once() {
    within_a_minute(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let options = Wal::options()
                .segment_size(256 * 1024)
                .follow_buffer_bytes(64 * 1024)
                .follow_rotate_interval(Duration::from_millis(5));
            let wal = options.open(dir.path()).await.unwrap();
            let mut followers = Vec::new();
            for number in 0..6 {
                followers.push(tokio::spawn(follow(wal.clone(), number)));
            }
            let mut pending = Vec::new();
            for lsn in 1..=RECORDS {
                pending.push(wal.submit(payload(lsn)).await.unwrap());
                if lsn % 50 == 0 {
                    for pending in pending.drain(..) {
                        pending.await.unwrap();
                    }
                }
            }
            for pending in pending {
                pending.await.unwrap();
            }
            for follower in followers {
                follower.await.unwrap();
            }
            wal.close().await.unwrap();
        });
    });
}

async fn follow(wal: Wal, number: u64) {
    tokio::time::sleep(Duration::from_millis(number * 20)).await;
    let mut follower = wal.follow(Lsn::FIRST);
    drop(wal);
    for lsn in 1..=RECORDS {
        let record = follower.try_next().await.unwrap().expect("the log is open");
        assert_record(&record, lsn);
        if lsn % 400 == number {
            tokio::time::sleep(Duration::from_millis(number)).await;
        }
    }
}
