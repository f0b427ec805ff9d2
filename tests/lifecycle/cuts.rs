//! Where a log that was not closed ends.

use std::collections::HashSet;
use std::path::Path;

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Durability, RecoveryReport, TornTail, TornTailReason, Wal};

use crate::helpers::{assert_records, manual, payload, recover};
use crate::support::{DIR, options, run};

#[test]
fn a_log_that_lost_power_ends_where_nothing_was_written() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for number in 1..=3 {
            wal.append(payload(number)).await.unwrap();
        }
        cut_power(&disk, wal, Survival::Nothing).await;
        let (records, report) = recover(&options(), &disk).await;
        assert_records(&records, 1..=3);
        let offset = FIRST_FRAME + (1..=3).map(frame_len).sum::<u64>();
        assert_cut(&report, offset, TornTailReason::NoRecord);
        assert_eq!(report.records, 3);
    });
}

#[test]
fn a_log_that_was_adopted_is_cut_off_no_more() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(payload(1)).await.unwrap();
        cut_power(&disk, wal, Survival::Nothing).await;
        let recovery = options().recover_on(&disk, DIR).await.unwrap();
        recovery.into_wal().await.unwrap().close().await.unwrap();
        let (records, report) = recover(&options(), &disk).await;
        assert_records(&records, 1..=1);
        assert_eq!(report.torn_tail, None);
    });
}

#[test]
fn a_record_that_was_half_written_is_cut_off() {
    let torn = async |wal: &Wal| {
        let append = wal.append_with(vec![7; 6000], Durability::Written);
        append.await.unwrap();
    };
    let reasons = tear(&torn);
    let possible = [TornTailReason::NoRecord, TornTailReason::TornRecord];
    assert_eq!(reasons, HashSet::from(possible));
}

#[test]
fn an_atomic_batch_that_was_half_written_is_cut_off_as_a_whole() {
    let torn = async |wal: &Wal| {
        let batch = [vec![7; 2000], vec![8; 2000], vec![9; 2000]];
        wal.append_batch(batch).await.unwrap();
    };
    let reasons = tear(&torn);
    assert!(reasons.contains(&TornTailReason::TornBatch), "{reasons:?}");
    assert!(reasons.contains(&TornTailReason::NoRecord), "{reasons:?}");
}

/// Cuts the power after an append that was not synced, in many ways. Returns the reasons for the
/// end of the log in the cases that lost all of that append.
fn tear(append: &impl AsyncFn(&Wal)) -> HashSet<TornTailReason> {
    let mut reasons = HashSet::new();
    for seed in 0..64 {
        run(async {
            let disk = SimDisk::new(seed);
            let options = manual().durability(Durability::Written);
            let wal = options.clone().open_on(&disk, DIR).await.unwrap();
            wal.append(payload(1)).await.unwrap();
            wal.sync().await.unwrap();
            append(&wal).await;
            cut_power(&disk, wal, Survival::Random).await;
            let (records, report) = recover(&options, &disk).await;
            let offset = FIRST_FRAME + frame_len(1);
            if records.len() == 1 {
                let reason = report.torn_tail.as_ref().unwrap().reason;
                assert_cut(&report, offset, reason);
                reasons.insert(reason);
            } else {
                assert!(report.torn_tail.unwrap().offset > offset);
            }
        });
    }
    reasons
}

/// Checks that the log ends there, in its first segment.
#[track_caller]
fn assert_cut(report: &RecoveryReport, expected_offset: u64, expected_reason: TornTailReason) {
    let cut = report.torn_tail.as_ref().expect("the log was not closed");
    let TornTail {
        segment,
        offset,
        lsn,
        reason,
        ..
    } = cut;
    assert_eq!(segment, &Path::new(DIR).join("00000000000000000001.wal"));
    assert_eq!((*offset, *lsn), (expected_offset, report.end.next()));
    assert_eq!(*reason, expected_reason);
    let message = format!(
        "{} ends at byte {offset}, before record {lsn}: {reason}",
        segment.display()
    );
    assert_eq!(cut.to_string(), message);
}

/// Cuts the power while the log is open, and starts the machine again.
async fn cut_power(disk: &SimDisk, wal: Wal, survival: Survival) {
    disk.cut_power();
    wal.close().await.unwrap_err();
    disk.restart(survival);
}

/// The bytes that a record takes in a segment.
fn frame_len(number: u64) -> u64 {
    20 + payload(number).len() as u64
}

/// The offset of the first record of a segment.
const FIRST_FRAME: u64 = 4096;
