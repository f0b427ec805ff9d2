//! Logs to damage, ways to read them, and the checks that several topics share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use tidewal::sim::SimDisk;
use tidewal::{Corruption, CorruptionKind, Error, Lsn, Record, WalOptions};

use crate::support::{DIR, options};

/// This many records fill a segment of [`options`].
pub const PER_SEGMENT: u64 = 4;

pub const PAYLOAD_LEN: u64 = 3000;

pub const FRAME_HEADER_LEN: u64 = 20;

pub const HEADER_BLOCK_LEN: u64 = 4096;

pub const SEGMENT_LEN: u64 = 16 * 1024;

/// The largest payload that a segment of [`options`] holds.
pub const ROOM: usize = 16 * 1024 - 4096 - 20;

/// A closed log of full segments, which begin at 1, 5, 9 and so on.
pub async fn log_of(segments: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    fill(&disk, segments).await;
    disk
}

/// A log of the records 5 to 12 in two segments: the one before them was truncated.
pub async fn truncated_log() -> SimDisk {
    let disk = log_of(3).await;
    let wal = options().open_on(&disk, DIR).await.unwrap();
    wal.truncate_before(Lsn::new(5)).await.unwrap();
    wal.close().await.unwrap();
    disk
}

pub async fn fill(disk: &SimDisk, segments: u64) {
    fill_from(disk, 1, segments * PER_SEGMENT).await;
}

pub async fn fill_from(disk: &SimDisk, first: u64, count: u64) {
    let wal = options().spare_segments(0).open_on(disk, DIR).await;
    let wal = wal.unwrap();
    for number in first..first + count {
        assert_eq!(wal.append(payload(number)).await.unwrap(), Lsn::new(number));
    }
    wal.close().await.unwrap();
}

pub fn payload(number: u64) -> Vec<u8> {
    let byte = u8::try_from(number % 251).unwrap();
    vec![byte; usize::try_from(PAYLOAD_LEN).unwrap()]
}

pub fn segment(base: u64) -> PathBuf {
    Path::new(DIR).join(format!("{base:020}.wal"))
}

pub fn edit(disk: &SimDisk, base: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.read(segment(base)).unwrap();
    change(&mut bytes);
    disk.write_file(segment(base), bytes);
}

pub fn contents(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let files = disk.files(DIR).into_iter();
    files
        .map(|name| {
            let bytes = disk.read(Path::new(DIR).join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

pub async fn collect(options: &WalOptions, disk: &SimDisk) -> Result<Vec<Record>, Error> {
    let recovery = options.clone().recover_on(disk, DIR).await?;
    recovery.try_collect().await
}

/// The records that a recovery delivers before it fails, and the error.
pub async fn records_and_error(disk: &SimDisk) -> (Vec<Record>, Error) {
    let mut recovery = options().recover_on(disk, DIR).await.unwrap();
    let mut records = Vec::new();
    loop {
        match recovery.try_next().await {
            Ok(record) => records.push(record.expect("an error comes before the end")),
            Err(error) => return (records, error),
        }
    }
}

/// The error of a recovery, at once or while it is read. `into_wal` must return the same error
/// afterwards.
pub async fn recovery_error(options: &WalOptions, disk: &SimDisk) -> Error {
    let mut recovery = match options.clone().recover_on(disk, DIR).await {
        Ok(recovery) => recovery,
        Err(error) => return error,
    };
    let error = loop {
        if let Err(error) = recovery.try_next().await.map(|record| record.unwrap()) {
            break error;
        }
    };
    let next = recovery.try_next().await.unwrap();
    assert_eq!(next, None, "a stream ends after its error");
    let again = recovery.into_wal().await.unwrap_err();
    assert_same(&again, &error);
    error
}

pub async fn read_error(options: &WalOptions, disk: &SimDisk) -> Error {
    match options.clone().read_on(disk, DIR).await {
        Ok(reader) => reader.try_collect::<Vec<_>>().await.unwrap_err(),
        Err(error) => error,
    }
}

/// A [`Corruption`] by its fields.
pub struct Expected {
    pub damage: CorruptionKind,
    /// The segment's base LSN.
    pub segment: u64,
    pub offset: u64,
    pub first: u64,
    pub last: u64,
}

/// Damage to the header of the segment at `base`, after which nothing is known about its records.
pub fn damaged_header(base: u64) -> Expected {
    Expected {
        damage: CorruptionKind::HeaderDamaged,
        segment: base,
        offset: 0,
        first: base,
        last: 0,
    }
}

impl Expected {
    /// Checks that every way into the log leads to this error, and changes nothing.
    pub async fn assert_found(&self, disk: &SimDisk) {
        assert_refused(disk, |error| self.assert_is(error)).await;
    }

    pub fn assert_is(&self, error: &Error) {
        let Error::Corrupt(found) = error else {
            panic!("expected {:?}, got {error:?}", self.damage);
        };
        let Corruption {
            kind: damage,
            segment: path,
            offset,
            first,
            last,
            ..
        } = found.as_ref();
        assert_eq!(
            (*damage, path.clone(), *offset, first.get(), last.get()),
            (
                self.damage,
                segment(self.segment),
                self.offset,
                self.first,
                self.last
            ),
        );
        self.assert_message(&error.to_string());
    }

    pub fn assert_message(&self, message: &str) {
        let place = format!(
            "{} at byte {}: ",
            segment(self.segment).display(),
            self.offset
        );
        assert!(message.starts_with(&place), "{message}");
        assert!(message.contains(self.damage.label()), "{message}");
        let lost = if self.last >= self.first {
            format!(
                "Records {} to {}, which were durable, cannot be read",
                self.first, self.last
            )
        } else {
            format!("cannot be read from record {} on", self.first)
        };
        assert!(message.ends_with(&lost), "{message}");
    }
}

/// Checks that opening, recovering, recovering again and reading give the same error, which passes
/// `check`, and leave every byte of the directory as it was.
pub async fn assert_refused(disk: &SimDisk, check: impl Fn(&Error)) {
    let before = contents(disk);
    let first = recovery_error(&options(), disk).await;
    check(&first);
    for other in [
        recovery_error(&options(), disk).await,
        read_error(&options(), disk).await,
        options().open_on(disk, DIR).await.unwrap_err(),
    ] {
        assert_same(&other, &first);
    }
    assert_eq!(contents(disk), before, "nothing on disk was changed");
}

pub fn assert_same(error: &Error, other: &Error) {
    assert_eq!(format!("{error:?}"), format!("{other:?}"));
}

pub fn assert_records(records: &[Record], lsns: std::ops::RangeInclusive<u64>) {
    let expected: Vec<_> = lsns.map(|number| (number, payload(number))).collect();
    let found: Vec<_> = records
        .iter()
        .map(|record| (record.lsn.get(), record.payload.to_vec()))
        .collect();
    assert!(found == expected, "got {:?}", lsns_of(records));
}

pub fn lsns_of(records: &[Record]) -> Vec<Lsn> {
    records.iter().map(|record| record.lsn).collect()
}
