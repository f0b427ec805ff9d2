//! Each codec decodes what it has encoded.

use std::collections::BTreeMap;
use std::error::Error as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidewal::sim::SimDisk;
use tidewal::typed::{BoxError, Codec, Json, Logged, Postcard};
use tidewal::{Error, Lsn};

use crate::bank::{Compact, events};
use crate::support::run;
use tidewal_testing::harness::typed::{carried_over, open, read, write};

async fn assert_round_trip<T: Logged + Clone + PartialEq + std::fmt::Debug>(values: &[T]) {
    let disk = SimDisk::new(1);
    write(&disk, values).await;
    assert_eq!(read::<T>(&disk).await.unwrap(), values);
}

#[test]
fn values_come_back_under_each_codec() {
    run(async {
        assert_round_trip(&events(200)).await;
        let compact = events(200).into_iter().map(Compact).collect::<Vec<_>>();
        assert_round_trip(&compact).await;
    });
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Reading(f64);

impl Logged for Reading {
    type Codec = Json;
}

#[test]
fn floats_come_back_exactly_from_json() {
    let floats = [
        0.1 + 0.2,
        1e-308,
        f64::MAX,
        f64::MIN_POSITIVE,
        -0.0,
        51.248_178_375_505_4,
    ];
    // A fast parser is off by one in the last digit for some of these.
    let many = (1..2000_u32).map(|number| (f64::from(number) * 1.1).powi(37));
    run(async {
        let all: Vec<_> = floats.into_iter().chain(many).map(Reading).collect();
        let disk = SimDisk::new(1);
        write(&disk, &all).await;
        let read = read::<Reading>(&disk).await.unwrap();
        let bits = |values: &[Reading]| values.iter().map(|v| v.0.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read), bits(&all));
    });
}

/// An acknowledged record that cannot be read back prevents a service from starting, so a test
/// should find it.
#[test]
#[cfg(debug_assertions)]
fn a_value_that_could_not_be_read_back_is_not_appended_in_a_debug_build() {
    run(async {
        let wal = open::<Reading>(&SimDisk::new(1)).await;
        let error = wal.append(&Reading(f64::NAN)).await.unwrap_err();
        assert!(matches!(error, Error::Encode(_)), "{error:?}");
        assert_eq!(wal.append(&Reading(1.0)).await.unwrap(), Lsn::FIRST);
    });
}

/// JSON has no name for such a key.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Grid {
    before: String,
    cells: BTreeMap<(u8, u8), u8>,
}

impl Logged for Grid {
    type Codec = Json;
}

impl Grid {
    fn without_name() -> Self {
        Self {
            before: "written to the buffer, and not to the log".into(),
            cells: BTreeMap::from([((0, 0), 0)]),
        }
    }
}

#[test]
fn a_value_that_cannot_be_encoded_is_certainly_not_appended() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open::<Grid>(&disk).await;
        let odd = Grid::without_name();
        let fine = Grid::default();
        for error in [
            wal.append(&odd).await.unwrap_err(),
            wal.append_batch([&fine, &odd]).await.unwrap_err(),
            wal.submit(&odd).await.unwrap_err(),
            wal.try_submit(&odd).unwrap_err().into(),
        ] {
            assert!(!error.is_outcome_unknown());
            let Error::Encode(codec) = &error else {
                panic!("{error:?}");
            };
            assert!(codec.get_ref().is::<serde_json::Error>());
            let source = error.source().unwrap().to_string();
            assert_eq!(source, "key must be a string");
        }
        assert_eq!(wal.append(&fine).await.unwrap(), Lsn::FIRST);
        wal.close().await.unwrap();
        let [grid] = <[_; 1]>::try_from(read::<Grid>(&disk).await.unwrap()).unwrap();
        assert!(
            grid.before.is_empty(),
            "nothing of what failed is left in the buffer"
        );
    });
}

#[derive(Debug, Deserialize, Serialize)]
struct Pair(u8, u8);

#[derive(Debug, Deserialize, Serialize)]
struct Single(u8);

impl Logged for Pair {
    type Codec = Postcard;
}

impl Logged for Single {
    type Codec = Postcard;
}

#[test]
fn bytes_that_postcard_has_left_over_are_an_error() {
    run(async {
        let error = carried_over::<_, Single>(Pair(1, 2)).await.unwrap_err();
        let source = error.source().unwrap().to_string();
        assert_eq!(source, "1 bytes are left over after the value");
    });
}

/// A custom codec that keeps a part of the record without copying it.
#[derive(Debug)]
struct Blob(Bytes);

struct Raw;

impl Logged for Blob {
    type Codec = Raw;
}

impl Codec<Blob> for Raw {
    fn encode(value: &Blob, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        assert!(buffer.is_empty());
        buffer.push(b'>');
        buffer.extend_from_slice(&value.0);
        Ok(())
    }

    fn decode(record: Bytes) -> Result<Blob, BoxError> {
        match record.first() {
            Some(b'>') => Ok(Blob(record.slice(1..))),
            _ => Err("no blob".into()),
        }
    }
}

#[test]
fn a_codec_of_ones_own_gets_an_empty_buffer_and_the_whole_record() {
    run(async {
        let disk = SimDisk::new(1);
        let sizes = [0, 10_000, 1, 100, 0];
        let blobs = sizes.map(|size| Blob(vec![b'x'; size].into()));
        write(&disk, &blobs).await;
        let read = read::<Blob>(&disk).await.unwrap();
        assert_eq!(
            read.iter().map(|blob| blob.0.len()).collect::<Vec<_>>(),
            sizes
        );
    });
}
