//! Records that come from memory, after their sync and never before.

use bytes::Bytes;
use tidewal::{Durability, Lsn, SyncPolicy, Wal};
use tokio_test::{assert_pending, assert_ready, task};

use crate::helpers::{append, assert_record, log, ms, payload, poll, settle, take};
use crate::support::{options, run, within_a_minute};

#[test]
fn a_follower_gets_each_record_once_it_is_durable_and_not_before() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 1).await;
        let mut follower = task::spawn(wal.follow(Lsn::new(2)));
        assert_pending!(follower.poll_next());
        disk.set_sync_time(ms(5));
        let pending = wal.submit(payload(2)).await.unwrap();
        tokio::time::sleep(ms(4)).await;
        assert!(!follower.is_woken(), "it is written, and not durable");
        assert_pending!(follower.poll_next());
        pending.await.unwrap();
        assert!(follower.is_woken());
        let record = assert_ready!(follower.poll_next()).unwrap().unwrap();
        assert_record(&record, 2);
        assert!(wal.durable_lsn() >= record.lsn);
        assert_pending!(follower.poll_next());
    });
}

/// `Written` is acknowledged by the write. Followers wait for the sync.
#[test]
fn what_is_only_written_is_not_delivered() {
    run(async {
        let (_, wal) = log(options().sync_policy(SyncPolicy::Manual)).await;
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        assert_pending!(follower.poll_next());
        for lsn in 1..=3 {
            let written = wal.append_with(payload(lsn), Durability::Written).await;
            assert_eq!(written.unwrap(), Lsn::new(lsn));
        }
        settle().await;
        assert_pending!(follower.poll_next());
        wal.sync().await.unwrap();
        for lsn in 1..=3 {
            let record = assert_ready!(follower.poll_next()).unwrap().unwrap();
            assert_record(&record, lsn);
        }
        assert_pending!(follower.poll_next());
    });
}

#[test]
fn records_of_every_size_come_out_as_they_were_appended() {
    run(async {
        let (_, wal) = log(options().segment_size(1024 * 1024)).await;
        let mut follower = wal.follow(Lsn::FIRST);
        let sizes = [
            0,
            1,
            0,
            20_000,
            0,
            16 * 1024,
            70_000,
            16 * 1024 - 1,
            0,
            200_000,
        ];
        let payloads = sizes.map(|len| Bytes::from(vec![7; len]));
        wal.append_batch(payloads.clone()).await.unwrap();
        for (index, len) in sizes.into_iter().enumerate() {
            let record = follower.try_next().await.unwrap().unwrap();
            assert_eq!(record.lsn.get(), index as u64 + 1);
            assert_eq!(record.payload.len(), len);
        }
        let large = &payloads[9];
        wal.append(large.clone()).await.unwrap();
        let record = follower.try_next().await.unwrap().unwrap();
        assert_eq!(
            record.payload.as_ptr(),
            large.as_ptr(),
            "a large payload is shared, not copied"
        );
    });
}

#[test]
fn followers_share_one_copy() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut followers: Vec<_> = (0..10).map(|_| wal.follow(Lsn::FIRST)).collect();
        append(&wal, 1).await;
        let mut copies = Vec::new();
        for follower in &mut followers {
            let record = follower.try_next().await.unwrap().unwrap();
            copies.push(record.payload.as_ptr());
        }
        assert!(copies.iter().all(|copy| *copy == copies[0]));
        assert_eq!(wal.stats().followers, 10);
        drop(followers);
        assert_eq!(wal.stats().followers, 0);
        assert_eq!(
            wal.stats().follow_buffer_bytes,
            0,
            "nothing is kept for no one"
        );
    });
}

#[test]
fn nothing_is_kept_without_a_follower() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 3).await;
        assert_eq!(wal.stats().follow_buffer_bytes, 0);
        let follower = wal.follow(Lsn::FIRST);
        append(&wal, 1).await;
        assert!(wal.stats().follow_buffer_bytes > 0);
        drop(follower);
        append(&wal, 1).await;
        assert_eq!(wal.stats().follow_buffer_bytes, 0);
    });
}

#[test]
fn memory_stays_within_the_option_whatever_a_follower_does() {
    run(async {
        let options = options().follow_buffer_bytes(10_000).segment_size(1 << 20);
        let (_, wal) = log(options).await;
        let mut follower = task::spawn(wal.follow(Lsn::FIRST));
        assert_pending!(follower.poll_next());
        for _ in 0..50 {
            append(&wal, 1).await;
            assert!(wal.stats().follow_buffer_bytes <= 10_000);
        }
        // Many batches that are written but not durable.
        let pending: Vec<_> = (51..=60)
            .map(|lsn| wal.try_submit(payload(lsn)).unwrap())
            .collect();
        settle().await;
        assert!(wal.stats().follow_buffer_bytes <= 10_000);
        drop(pending);
    });
}

/// `Follower`: "`try_next` and the stream are cancel safe: if the future is dropped before it completes,
/// no record is lost."
#[test]
fn dropping_the_future_of_the_next_record_loses_none() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut follower = wal.follow(Lsn::FIRST);
        let mut next = task::spawn(follower.try_next());
        assert_pending!(next.poll());
        append(&wal, 2).await;
        assert!(next.is_woken());
        drop(next);
        take(&mut follower, 1..=2).await;
    });
}

/// `Follower::try_next`: "Cancel safe: if the future is dropped before it completes, no record is lost."
#[test]
fn dropping_the_future_while_a_file_is_read_loses_none() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 30).await;
        let mut follower = wal.follow(Lsn::FIRST);
        let mut next = task::spawn(follower.try_next());
        assert_pending!(next.poll());
        settle().await;
        assert!(next.is_woken());
        drop(next);
        take(&mut follower, 1..=30).await;
    });
}

#[test]
fn a_follower_that_is_kept_and_not_polled_slows_no_one() {
    run(async {
        let (_, wal) = log(options()).await;
        let mut kept = task::spawn(wal.follow(Lsn::FIRST));
        assert!(poll(&mut kept).is_pending());
        let mut other = wal.follow(Lsn::FIRST);
        append(&wal, 100).await;
        take(&mut other, 1..=100).await;
        wal.close().await.unwrap();
    });
}

/// A payload that looks at its log when it is dropped.
struct Looks(Wal, Vec<u8>);

impl AsRef<[u8]> for Looks {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        assert!(!self.0.stats().poisoned);
    }
}

/// The payload was dropped under the lock that its destructor takes, and the writer waited for itself.
#[test]
fn regression_a_payload_that_is_forgotten_may_look_at_the_log() {
    within_a_minute(|| {
        run(async {
            let roomy = options().segment_size(1 << 20);
            let (_, wal) = log(roomy.follow_buffer_bytes(50_000)).await;
            let follower = wal.follow(Lsn::FIRST);
            for len in [20_000, 20_000, 20_000, 60_000, 20_000] {
                let payload = Bytes::from_owner(Looks(wal.clone(), vec![0; len]));
                wal.append(payload).await.unwrap();
            }
            drop(follower);
        });
    });
}
