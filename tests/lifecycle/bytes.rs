//! How many bytes a log writes for the appended ones.

use std::time::Duration;

use tidewal::Wal;
use tidewal::sim::SimDisk;

use crate::support::{DIR, options, run};

/// A spare in the making was written to its end and then removed, at each rotation, although a
/// truncated segment had arrived. So every byte was written twice as long as truncation kept up.
#[test]
fn regression_with_prompt_truncation_every_byte_is_written_once() {
    run(async {
        for spares in [1, 2] {
            let disk = SimDisk::new(1);
            disk.set_sync_time(Duration::from_millis(1));
            let options = options().segment_size(SEGMENT_LEN).spare_segments(spares);
            let wal = options.open_on(&disk, DIR).await.unwrap();
            // For the first segments there is nothing to recycle.
            rotate(&wal, 12).await;
            let before = (disk.written_bytes(), wal.stats());
            rotate(&wal, 8).await;
            let written = disk.written_bytes() - before.0;
            let payload = wal.stats().payload_bytes - before.1.payload_bytes;
            assert!(
                written * 10 <= payload * 13,
                "{spares} spares: {written} bytes written for {payload}"
            );
        }
    });
}

/// Appends until `times` more segments were opened, and truncates after each rotation.
async fn rotate(wal: &Wal, times: u64) {
    let last = wal.stats().segments + times;
    let mut opened = wal.stats().segments;
    while opened < last {
        let lsn = wal.append([7; 4096].as_slice()).await.unwrap();
        if wal.stats().segments > opened {
            opened = wal.stats().segments;
            wal.truncate_before(lsn).await.unwrap();
        }
    }
}

/// Several times the piece in which a new file is written.
const SEGMENT_LEN: u64 = 4 * 1024 * 1024;

/// The zeros written ahead in the first segment are in proportion to the appended bytes.
#[test]
fn a_log_of_a_few_records_writes_few_zeros() {
    run(async {
        let disk = SimDisk::new(1);
        for opened in 1..=2 {
            let before = disk.written_bytes();
            let options = options().segment_size(SEGMENT_LEN).spare_segments(1);
            let wal = options.open_on(&disk, DIR).await.unwrap();
            for _ in 0..10 {
                wal.append([7; 100].as_slice()).await.unwrap();
            }
            wal.close().await.unwrap();
            let written = disk.written_bytes() - before;
            let bound = SEGMENT_LEN + 64 * 1024 + 16 * 1024;
            assert!(written <= bound, "{written} bytes, opened {opened} times");
        }
    });
}

/// Every byte of a segment that was made on the spot is written at most twice, and only once if
/// syncs are large.
#[test]
fn a_segment_is_written_ahead_only_where_syncs_are_small() {
    run(async {
        for (len, most) in [(4096, 2 * SEGMENT_LEN), (256 * 1024, SEGMENT_LEN)] {
            let disk = SimDisk::new(1);
            let options = options().segment_size(SEGMENT_LEN).spare_segments(1);
            let wal = options.open_on(&disk, DIR).await.unwrap();
            let payload = vec![7; len];
            let count = SEGMENT_LEN / (payload.len() as u64 + 200);
            for _ in 0..count {
                wal.append(payload.clone()).await.unwrap();
            }
            assert_eq!(wal.stats().segments, 1);
            let_it_work().await;
            let written = disk.written_bytes() - SEGMENT_LEN;
            assert!(written <= most, "{written} bytes in syncs of {len}");
            assert_eq!(written > SEGMENT_LEN, len < 64 * 1024, "{written} bytes");
        }
    });
}

/// Lets the log finish its background work.
async fn let_it_work() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}
