//! Logs, their contents, and checks.

use std::path::Path;

use futures::TryStreamExt;
use futures::future::join_all;
use tidewal::sim::SimDisk;
use tidewal::{
    Durability, Error, Lsn, PendingAppend, Record, Recovery, RecoveryReport, SyncPolicy, Wal,
    WalOptions,
};

use crate::support::{DIR, options};

/// One request of each kind, all of which the log must refuse.
pub async fn every_request(wal: &Wal) -> Vec<Result<(), Error>> {
    vec![
        wal.append("late").await.map(drop),
        wal.append_with("late", Durability::Written).await.map(drop),
        wal.append_batch(["late", "too"]).await.map(drop),
        wal.submit("late").await.map(drop),
        wal.try_submit("late").map(drop).map_err(Error::from),
        wal.sync().await.map(drop),
        wal.truncate_before(Lsn::FIRST).await,
    ]
}

pub fn assert_closed(error: &Error) {
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert!(!error.is_outcome_unknown());
    assert!(error.to_string().contains("closed"), "{error}");
}

/// A closed log of `count` records in many segments.
pub async fn log_of(count: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    let wal = options().open_on(&disk, DIR).await.unwrap();
    for number in 1..=count {
        wal.append(payload(number)).await.unwrap();
    }
    wal.close().await.unwrap();
    disk
}

pub async fn fill_dir(dir: &Path, numbers: std::ops::RangeInclusive<u64>) {
    let wal = options().open(dir).await.unwrap();
    for pending in submit(&wal, numbers).await {
        pending.await.unwrap();
    }
    wal.close().await.unwrap();
}

pub async fn submit(wal: &Wal, numbers: std::ops::RangeInclusive<u64>) -> Vec<PendingAppend> {
    let mut pending = Vec::new();
    for number in numbers {
        pending.push(wal.submit(payload(number)).await.unwrap());
    }
    pending
}

/// The payload of a record. Lengths differ, so segments end anywhere.
pub fn payload(number: u64) -> Vec<u8> {
    let len = usize::try_from(number * 911 % 4000).unwrap();
    let byte = u8::try_from(number % 199).unwrap();
    vec![byte; len]
}

/// Nothing is synced without a request, and no spares are made.
pub fn manual() -> WalOptions {
    options().sync_policy(SyncPolicy::Manual).spare_segments(0)
}

pub async fn recover(options: &WalOptions, disk: &SimDisk) -> (Vec<Record>, RecoveryReport) {
    let recovery = options.clone().recover_on(disk, DIR).await.unwrap();
    read_to_end(recovery).await
}

pub async fn recover_dir(dir: &Path) -> (Vec<Record>, RecoveryReport) {
    read_to_end(options().recover(dir).await.unwrap()).await
}

pub async fn read_to_end(mut recovery: Recovery) -> (Vec<Record>, RecoveryReport) {
    let records = (&mut recovery).try_collect().await.unwrap();
    (records, recovery.report().clone())
}

#[track_caller]
pub fn assert_dense(records: &[Record], lsns: std::ops::RangeInclusive<u64>) {
    let found: Vec<_> = records.iter().map(|record| record.lsn.get()).collect();
    assert_eq!(found, lsns.collect::<Vec<_>>());
}

/// Checks that these are the records with these numbers, each at the LSN of its number.
#[track_caller]
pub fn assert_records(records: &[Record], numbers: std::ops::RangeInclusive<u64>) {
    assert_dense(records, numbers);
    for record in records {
        assert!(record.payload == payload(record.lsn.get()), "{record:?}");
    }
}

/// Checks the report of a closed log that delivered these records.
#[track_caller]
pub fn assert_report(
    disk: &SimDisk,
    report: &RecoveryReport,
    delivered: std::ops::RangeInclusive<u64>,
) {
    let segments = segments(disk);
    assert!(segments.len() > 1, "many segments are what this is about");
    assert_eq!(report.segments, segments.len() as u64);
    assert_eq!(report.oldest.get(), segments[0]);
    assert_eq!(report.end.get(), *delivered.end());
    assert_eq!(report.records, delivered.clone().count() as u64);
    let bytes = delivered.map(|number| payload(number).len() as u64);
    assert_eq!(report.bytes, bytes.sum::<u64>());
    assert_eq!(report.torn_tail, None);
}

pub async fn assert_answers(pending: Vec<PendingAppend>, lsns: std::ops::RangeInclusive<u64>) {
    let answers = join_all(pending).await.into_iter();
    let found: Vec<_> = answers.map(|answer| answer.unwrap().get()).collect();
    assert_eq!(found, lsns.collect::<Vec<_>>());
}

/// The base LSNs of the segments, in their order.
pub fn segments(disk: &SimDisk) -> Vec<u64> {
    let names = ending(disk.files(DIR), ".wal").into_iter();
    let bases = names.map(|name| name.trim_end_matches(".wal").parse());
    bases.map(Result::unwrap).collect()
}

pub fn ending(mut names: Vec<String>, suffix: &str) -> Vec<String> {
    names.retain(|name| name.ends_with(suffix));
    names
}
