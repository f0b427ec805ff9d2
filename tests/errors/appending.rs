//! Errors of a record or a batch.

use tidewal::sim::SimDisk;
use tidewal::{Durability, Error, Lsn, WalOptions};

use crate::helpers::{ROOM, collect};
use crate::support::{DIR, options, run};

#[test]
fn a_record_at_the_limit_passes_and_one_byte_more_does_not() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().max_record_size(100);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.append([1; 100].as_slice()).await.unwrap();
        let batch = [vec![0; 3], vec![0; 101]];
        let refused = [
            wal.append([1; 101].as_slice()).await.map(drop),
            wal.append_with([1; 101].as_slice(), Durability::Written)
                .await
                .map(drop),
            wal.submit([1; 101].as_slice()).await.map(drop),
            wal.try_submit([1; 101].as_slice())
                .map(drop)
                .map_err(Error::from),
            wal.append_batch(batch).await.map(drop),
        ];
        for result in refused {
            assert_too_large(&result.unwrap_err(), 101, 100);
        }
        assert_eq!(wal.append("next").await.unwrap(), Lsn::new(2));
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options, &disk).await, [100, 4]);
    });
}

#[test]
fn the_default_limit_is_what_a_segment_holds() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(vec![1; ROOM]).await.unwrap();
        let error = wal.append(vec![1; ROOM + 1]).await.unwrap_err();
        assert_too_large(&error, ROOM as u64 + 1, ROOM as u64);
        wal.append(vec![1; ROOM]).await.unwrap();
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options(), &disk).await, [ROOM, ROOM]);
    });
}

#[test]
fn a_batch_has_to_fit_one_segment() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        // The second record needs a header of its own.
        let half = (ROOM - 20) / 2;
        wal.append("first").await.unwrap();
        let lsns = wal.append_batch([vec![1; half], vec![2; half]]).await;
        assert_eq!(lsns.unwrap(), Lsn::new(2)..=Lsn::new(3));
        let batch = [vec![1; half], vec![2; half + 1]];
        let error = wal.append_batch(batch).await.unwrap_err();
        assert_too_large(&error, ROOM as u64 + 1, ROOM as u64);
        assert_eq!(wal.append("next").await.unwrap(), Lsn::new(4));
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options(), &disk).await, [5, half, half, 4]);
    });
}

#[test]
fn an_empty_batch_is_refused() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let error = wal.append_batch(Vec::<Vec<u8>>::new()).await.unwrap_err();
        assert!(matches!(error, Error::EmptyBatch), "{error:?}");
        assert!(!error.is_outcome_unknown());
        assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
    });
}

#[test]
fn an_empty_payload_is_a_record_like_any_other() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().max_record_size(0);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        assert_eq!(wal.append("").await.unwrap(), Lsn::FIRST);
        let lsns = wal.append_batch(["", ""]).await.unwrap();
        assert_eq!(lsns, Lsn::new(2)..=Lsn::new(3));
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options, &disk).await, [0, 0, 0]);
    });
}

async fn payload_lens(options: &WalOptions, disk: &SimDisk) -> Vec<usize> {
    let records = collect(options, disk).await.unwrap();
    records.iter().map(|record| record.payload.len()).collect()
}

#[track_caller]
fn assert_too_large(error: &Error, expected_len: u64, expected_max: u64) {
    let Error::TooLarge { len, max, .. } = *error else {
        panic!("{error:?}");
    };
    assert_eq!((len, max), (expected_len, expected_max));
    assert!(!error.is_outcome_unknown());
    let message =
        format!("a record or batch of {len} bytes is too large: the limit is {max} bytes");
    assert_eq!(error.to_string(), message);
}
