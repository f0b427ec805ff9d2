//! Appends that are dropped, and what is in the log afterwards.

use std::cell::Cell;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::join;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Durability, Error, Lsn, TrySubmitError, Wal, WalOptions};
use tokio::time::sleep;

use crate::helpers::{after_a_cut, assert_nothing_is_queued, at_every_step, busy, drop_after, ms};
use crate::support::{DIR, options, policies};

/// `Wal::append`: "If the future is dropped before it completes, the record may or may not be
/// appended."
///
/// `Wal::append`: "Other callers are not affected."
///
/// `tidewal`: "`Wal::append` combines the two, so if it is dropped, the record may or may not be
/// appended."
#[test]
fn a_dropped_append_may_or_may_not_be_appended_and_affects_no_other_caller() {
    let append = async |wal: &Wal| wal.append(DROPPED).await.map(drop);
    drop_at_every_step(1, &append);
}

/// `Wal::append_with`: "Like `append`: if the future is dropped before it completes, the record may
/// or may not be appended."
#[test]
fn a_dropped_append_with_a_durability_is_like_any_other() {
    for durability in [Durability::Durable, Durability::Written] {
        let append = async |wal: &Wal| wal.append_with(DROPPED, durability).await.map(drop);
        drop_at_every_step(1, &append);
    }
}

/// `Wal::append_batch`: "If the future is dropped before it completes, the batch may or may not be
/// appended, but never a part of it."
#[test]
fn a_dropped_batch_is_like_any_other_append_and_never_appended_in_part() {
    let append = async |wal: &Wal| wal.append_batch([DROPPED; 3]).await.map(drop);
    drop_at_every_step(3, &append);
}

/// `Wal::append`: "Use `submit` to tell the two cases apart."
///
/// `tidewal`: "Until `Wal::submit` returns, it is guaranteed that nothing was appended."
///
/// `tidewal`: "After that, dropping the `PendingAppend` does not take the record back: only the answer is
/// lost."
#[test]
fn a_dropped_record_is_appended_exactly_if_its_submit_has_returned() {
    for options in narrow() {
        at_every_step(async |steps| {
            let submitted = Cell::new(false);
            let append = async |wal: &Wal| {
                let pending = wal.submit(DROPPED).await?;
                submitted.set(true);
                pending.await.map(drop)
            };
            let fate = drop_one(options.clone(), steps, append).await;
            assert_eq!(fate.appended, usize::from(submitted.get()));
            fate.completed
        });
    }
}

/// `Wal::submit_with`: "Like `submit`: if this future is dropped before it completes, nothing was
/// appended."
#[test]
fn a_dropped_submit_with_a_durability_is_like_any_other() {
    let durabilities = [Durability::Durable, Durability::Written].into_iter();
    for (options, durability) in narrow().zip(durabilities.cycle()) {
        at_every_step(async |steps| {
            let submitted = Cell::new(false);
            let append = async |wal: &Wal| {
                let pending = wal.submit_with(DROPPED, durability).await?;
                submitted.set(true);
                pending.await.map(drop)
            };
            let fate = drop_one(options.clone(), steps, append).await;
            assert_eq!(fate.appended, usize::from(submitted.get()));
            fate.completed
        });
    }
}

/// Drops an append of `records` records after every number of steps. It is appended completely or
/// not at all, and both happen.
fn drop_at_every_step(records: usize, append: &impl AsyncFn(&Wal) -> Result<(), Error>) {
    for options in narrow() {
        let fates = [Cell::new(0), Cell::new(0)];
        at_every_step(async |steps| {
            let fate = drop_one(options.clone(), steps, append).await;
            assert!(fate.appended == 0 || fate.appended == records, "in part");
            let seen = &fates[usize::from(fate.appended > 0)];
            seen.set(seen.get() + usize::from(!fate.completed));
            assert!(fate.appended > 0 || !fate.completed, "it was acknowledged");
            fate.completed
        });
        let [lost, appended] = fates.map(Cell::into_inner);
        assert!(lost > 0 && appended > 0, "{lost} lost, {appended} appended");
    }
}

/// Logs under every policy whose queue fills up quickly, by records or by bytes.
fn narrow() -> impl Iterator<Item = WalOptions> {
    policies().into_iter().flat_map(|policy| {
        let options = options().sync_policy(policy);
        [
            options.clone().queue_records(2),
            options.queue_records(3).queue_bytes(2 * 4000),
        ]
    })
}

/// The outcome of an append.
struct Fate {
    /// Whether it was acknowledged before it was dropped.
    completed: bool,
    /// How many of its records are in the log.
    appended: usize,
}

/// Drops, after a number of steps, an append that began behind a full queue, with others before and
/// after it. Checks that these are unharmed.
async fn drop_one(
    options: WalOptions,
    steps: usize,
    append: impl AsyncFn(&Wal) -> Result<(), Error>,
) -> Fate {
    let (disk, wal) = busy(options).await;
    let before = [(); 2].map(|()| wal.try_submit(BEFORE).unwrap());
    assert!(matches!(
        wal.try_submit(AFTER),
        Err(TrySubmitError::Full(_))
    ));
    let syncs = tokio::spawn(sync_now_and_then(wal.clone()));
    let dropped = async {
        let outcome = drop_after(steps, append(&wal)).await;
        let cut = after_a_cut(&disk, Survival::Random, steps);
        (outcome, cut)
    };
    let ((outcome, cut), after) = join(dropped, wal.append(AFTER)).await;
    for (lsn, before) in (3..).zip(before) {
        assert_eq!(before.await.unwrap(), Lsn::new(lsn));
    }
    let after = after.unwrap();
    assert_nothing_is_queued(&wal);
    wal.close().await.unwrap();
    syncs.await.unwrap();

    let payloads = read(&disk).await;
    assert_eq!(payloads.len() as u64, after.get(), "the last one was that");
    let appended = count_dropped(&payloads);
    let others: Vec<&[u8]> = payloads
        .iter()
        .map(AsRef::as_ref)
        .filter(|p| *p != DROPPED)
        .collect();
    assert!(others == [FIRST, SECOND, BEFORE, BEFORE, AFTER]);
    let survived = count_dropped(&read(&cut).await);
    assert!(survived == 0 || survived == appended, "a batch in part");
    let completed = outcome.map(Result::unwrap).is_some();
    Fate {
        completed,
        appended,
    }
}

/// Makes records durable under every policy.
async fn sync_now_and_then(wal: Wal) {
    while wal.sync().await.is_ok() {
        sleep(ms(3)).await;
    }
}

async fn read(disk: &SimDisk) -> Vec<Bytes> {
    let recovery = options().recover_on(disk, DIR).await.unwrap();
    let payloads = recovery.map_ok(|record| record.payload);
    payloads.try_collect().await.unwrap()
}

/// How many of the dropped append's records are in the log, without a gap.
fn count_dropped(payloads: &[Bytes]) -> usize {
    let is_dropped = |payload: &&Bytes| **payload == DROPPED;
    let count = payloads.iter().filter(is_dropped).count();
    let others_first = payloads.iter().skip_while(|payload| !is_dropped(payload));
    assert_eq!(others_first.take_while(is_dropped).count(), count);
    count
}

/// Two of them fill the queue. With the dropped ones they take more than a segment.
const BEFORE: &[u8] = &[b'b'; 4000 - 20];
const DROPPED: &[u8] = &[b'd'; 4000 - 20];
const AFTER: &[u8] = b"after";

/// The records of a busy log.
const FIRST: &[u8] = b"first";
const SECOND: &[u8] = b"second";
