//! Intact records that cannot be decoded as the type.

use std::cell::Cell;
use std::error::Error as _;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tidewal::sim::SimDisk;
use tidewal::typed::{BoxError, Codec, Logged};
use tidewal::{Error, Lsn};

use crate::bank::{Event, event};
use crate::helpers::numbered;
use crate::support::{DIR, options, run};
use tidewal_testing::harness::typed::{open, read, recover};

/// A log of five values, the third of which another version wrote.
async fn log_with_a_stranger() -> SimDisk {
    let disk = SimDisk::new(1);
    let wal = open::<Event>(&disk).await;
    wal.append_batch([event(0), event(1)]).await.unwrap();
    let stranger = r#"{"Renamed":{"account":7}}"#;
    wal.untyped().append(stranger).await.unwrap();
    wal.append_batch([event(3), event(4)]).await.unwrap();
    wal.close().await.unwrap();
    disk
}

fn is_third(error: &Error) -> bool {
    matches!(error, Error::Undecodable { lsn, .. } if *lsn == Lsn::new(3))
}

#[test]
fn the_error_names_the_record_and_the_stream_ends() {
    run(async {
        let disk = log_with_a_stranger().await;
        let mut recovery = recover::<Event>(&disk).await;
        for expected in numbered(1, [event(0), event(1)]) {
            assert_eq!(recovery.try_next().await.unwrap(), Some(expected));
        }
        let error = recovery.try_next().await.unwrap_err();
        assert!(is_third(&error), "{error:?}");
        assert!(
            error.to_string().starts_with("record 3 is intact"),
            "{error}"
        );
        let Error::Undecodable { source, .. } = &error else {
            unreachable!("see above");
        };
        assert!(source.get_ref().is::<serde_json::Error>());
        let source = error.source().unwrap().to_string();
        assert!(source.contains("unknown variant `Renamed`"), "{source}");
        assert_eq!(recovery.try_next().await.unwrap(), None);
        assert!(recovery.next().await.is_none());
    });
}

#[test]
fn a_log_that_was_not_replayed_is_not_opened_and_not_changed() {
    run(async {
        let disk = log_with_a_stranger().await;
        let before = disk.fingerprint();
        for _ in 0..2 {
            let mut recovery = recover::<Event>(&disk).await;
            while let Ok(Some(_)) = recovery.try_next().await {}
            let error = recovery.into_wal().await.unwrap_err();
            assert!(is_third(&error), "{error:?}");
        }
        assert_eq!(disk.fingerprint(), before);
    });
}

/// A codec that panics at the third record, as one with an `unwrap` may.
struct Panics;

thread_local! {
    /// Whether decoding has begun: encoding reads back what it wrote.
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Number(u64);

impl Logged for Number {
    type Codec = Panics;
}

impl Codec<Number> for Panics {
    fn encode(value: &Number, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        buffer.extend_from_slice(&value.0.to_le_bytes());
        Ok(())
    }

    fn decode(payload: Bytes) -> Result<Number, BoxError> {
        let value = u64::from_le_bytes(payload[..].try_into()?);
        assert!(value != 3 || !DECODES.get(), "the codec panics");
        Ok(Number(value))
    }
}

/// The state lacks a record nevertheless, and the stream continued after it.
#[test]
fn regression_a_log_whose_decoding_panicked_is_not_opened() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open::<Number>(&disk).await;
        wal.append_batch((1..=5).map(Number)).await.unwrap();
        wal.close().await.unwrap();
        let before = disk.fingerprint();
        DECODES.set(true);
        let mut recovery = recover::<Number>(&disk).await;
        for number in 1..=2 {
            let next = recovery.try_next().await.unwrap();
            assert_eq!(next, Some((Lsn::new(number), Number(number))));
        }
        let next = AssertUnwindSafe(recovery.try_next()).catch_unwind().await;
        assert!(next.is_err(), "it panics");
        assert_eq!(recovery.try_next().await.unwrap(), None, "it has ended");
        let error = recovery.into_wal().await.unwrap_err();
        assert!(is_third(&error), "{error:?}");
        assert!(error.source().unwrap().to_string().contains("panicked"));
        assert_eq!(disk.fingerprint(), before);

        let mut recovery = recover::<Number>(&disk).await;
        recovery.try_next().await.unwrap();
        recovery.try_next().await.unwrap();
        let next = AssertUnwindSafe(recovery.try_next()).catch_unwind().await;
        assert!(next.is_err(), "it panics");
        let mut rest = recovery.into_untyped();
        assert_eq!(rest.try_next().await.unwrap().unwrap().lsn, Lsn::new(4));
    });
}

#[test]
fn a_person_can_leave_the_record_out() {
    run(async {
        let disk = log_with_a_stranger().await;
        let mut recovery = recover::<Event>(&disk).await;
        while let Ok(Some(_)) = recovery.try_next().await {}
        let mut rest = recovery.into_untyped().typed::<Event>();
        for expected in numbered(4, [event(3), event(4)]) {
            assert_eq!(rest.try_next().await.unwrap(), Some(expected));
        }
        assert_eq!(rest.try_next().await.unwrap(), None);
        let wal = rest.into_wal().await.unwrap();
        assert_eq!(wal.append(&event(5)).await.unwrap(), Lsn::new(6));
    });
}

#[test]
fn a_person_can_look_at_the_bytes_of_the_record() {
    run(async {
        let disk = log_with_a_stranger().await;
        let error = read::<Event>(&disk).await.unwrap_err();
        let Error::Undecodable { lsn, .. } = error else {
            panic!("{error:?}");
        };
        let options = options().start_at(lsn);
        let mut reader = options.read_on(&disk, DIR).await.unwrap();
        let record = reader.try_next().await.unwrap().unwrap();
        assert_eq!(record.payload, r#"{"Renamed":{"account":7}}"#);
        let mut rest = reader.typed::<Event>();
        assert_eq!(rest.try_next().await.unwrap().unwrap().1, event(3));
        assert_eq!(
            rest.into_untyped().try_next().await.unwrap().unwrap().lsn,
            Lsn::new(5)
        );
    });
}

#[test]
fn records_that_are_passed_over_are_not_decoded() {
    run(async {
        let disk = log_with_a_stranger().await;
        let wal = recover::<Event>(&disk).await.into_wal().await.unwrap();
        assert_eq!(wal.append(&event(5)).await.unwrap(), Lsn::new(6));
    });
}

/// Damage is found before anything is decoded, and is a different error.
#[test]
fn damage_is_not_taken_for_a_record_of_another_type() {
    run(async {
        let disk = log_with_a_stranger().await;
        let file = format!("{DIR}/{:020}.wal", 1);
        let bytes = Bytes::from(disk.read(&file).unwrap());
        let place = bytes
            .windows(7)
            .position(|window| window == b"Renamed")
            .unwrap();
        disk.corrupt(&file, |bytes| bytes[place] ^= 1);
        let error = read::<Event>(&disk).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
        let recovery = recover::<Event>(&disk).await;
        assert!(matches!(recovery.into_wal().await, Err(Error::Corrupt(_))));
    });
}
