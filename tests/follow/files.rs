//! Records that come from finished segments.

use tidewal::{Error, Lsn};

use crate::helpers::{append, log, segments, take};
use crate::support::{DIR, options, run};

#[test]
fn a_follower_begins_anywhere_in_what_is_kept() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 60).await;
        assert!(segments(&disk).len() > 4);
        for from in [0, 1, 2, 17, 30, 59, 60] {
            let mut follower = wal.follow(Lsn::new(from));
            take(&mut follower, from.max(1)..=60).await;
            assert_eq!(follower.next_lsn(), Lsn::new(61));
        }
        let mut at_end = wal.follow(Lsn::new(61));
        append(&wal, 5).await;
        take(&mut at_end, 61..=65).await;
    });
}

#[test]
fn a_recovered_log_is_read_from_its_files_without_a_rotation() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 20).await;
        wal.close().await.unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let mut follower = wal.follow(Lsn::ZERO);
        take(&mut follower, 1..=20).await;
        assert_eq!(wal.stats().segments, 0, "no segment was opened for it");
        append(&wal, 20).await;
        take(&mut follower, 21..=40).await;
    });
}

#[test]
fn records_cross_from_files_to_memory_without_a_gap() {
    run(async {
        let (_, wal) = log(options().follow_buffer_bytes(20_000)).await;
        append(&wal, 40).await;
        let mut follower = wal.follow(Lsn::FIRST);
        let mut next = 1;
        for round in 0..40 {
            append(&wal, round % 7).await;
            let end = wal.durable_lsn().get();
            let upto = end.min(next + 5);
            take(&mut follower, next..=upto).await;
            next = upto + 1;
        }
        let end = wal.durable_lsn().get();
        take(&mut follower, next..=end).await;
    });
}

#[test]
fn a_large_record_is_read_and_so_is_an_atomic_batch() {
    run(async {
        let (_, wal) = log(options().segment_size(64 << 20)).await;
        wal.append("small").await.unwrap();
        wal.append(vec![1; 9 << 20]).await.unwrap();
        wal.append_batch((0..12).map(|_| vec![2; 1 << 20]))
            .await
            .unwrap();
        wal.append(vec![3; 10 << 20]).await.unwrap();
        let mut follower = wal.follow(Lsn::FIRST);
        let mut sizes = Vec::new();
        for _ in 0..15 {
            sizes.push(follower.try_next().await.unwrap().unwrap().payload.len() >> 20);
        }
        assert_eq!(sizes, [0, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10]);
    });
}

#[test]
fn damage_is_the_error_of_recovery_after_everything_before_it() {
    run(async {
        let (disk, wal) = log(options()).await;
        append(&wal, 60).await;
        let bases = segments(&disk);
        let file = format!("{DIR}/{:020}.wal", bases[1]);
        assert!(disk.corrupt(file, |bytes| bytes[4096 + 9000] ^= 1));
        let mut follower = wal.follow(Lsn::FIRST);
        let error = loop {
            match follower.try_next().await {
                Ok(Some(record)) => assert!(record.lsn.get() < bases[2], "{record:?}"),
                Ok(None) => panic!("the damage was not noticed"),
                Err(error) => break error,
            }
        };
        let last = follower.next_lsn().get();
        assert!(follower.try_next().await.unwrap().is_none(), "it has ended");
        wal.close().await.unwrap();
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let mut next = 1;
        let of_recovery = loop {
            match recovery.try_next().await {
                Ok(Some(record)) => next = record.lsn.get() + 1,
                Ok(None) => panic!("recovery did not notice"),
                Err(error) => break error,
            }
        };
        assert_eq!(last, next, "as much is delivered before it");
        assert_eq!(error.to_string(), of_recovery.to_string());
        assert!(matches!(error, Error::Corrupt(_)));
    });
}

#[test]
fn a_follower_that_is_too_far_ahead_is_told() {
    run(async {
        let (_, wal) = log(options()).await;
        append(&wal, 3).await;
        let mut follower = wal.follow(Lsn::new(5));
        let error = follower.try_next().await.unwrap_err();
        assert!(
            matches!(error, Error::BeyondEnd { asked, end, .. } if asked.get() == 5 && end.get() == 3),
            "{error:?}"
        );
        assert!(follower.try_next().await.unwrap().is_none());
    });
}
