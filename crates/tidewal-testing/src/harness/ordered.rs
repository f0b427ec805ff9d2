//! Appends that depend on each other, on a disk that is sometimes full (promise P9).
//!
//! The owners of ordered appenders submit records of all sizes, so a record that needs another
//! segment is refused while a smaller one after it would fit. Of the records of each appender,
//! exactly a prefix must be acknowledged and recovered.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::task::Poll;
use std::time::Duration;

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Durability, Error, Lsn, OrderedAppender, PendingBatch, Recovery, SyncPolicy, Wal};
use tokio_test::task;

use crate::harness::rng::Rng;
use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

/// Counts, so a test can check that something happened.
#[derive(Debug, Default)]
pub struct Tally {
    pub acknowledged: usize,
    pub refused: usize,
    pub behind: usize,
}

/// One life of a log, with a random end.
pub fn nothing_behind_a_refusal_is_appended(seed: u64, tally: &mut Tally) {
    note_trial();
    let _label = Label(format!("seed {seed}"));
    run(live(seed, tally));
}

/// The submissions of one appender, in order.
struct Sequence {
    owner: u64,
    appender: OrderedAppender,
    submitted: Vec<Submitted>,
    /// Whether a dropped submission, which may or may not have happened, is missing in the list.
    has_dropped: bool,
}

struct Submitted {
    name: String,
    durability: Durability,
    pending: Option<PendingBatch>,
    outcome: Option<Result<(), Error>>,
}

async fn live(seed: u64, tally: &mut Tally) {
    let mut rng = Rng::new(seed);
    let disk = SimDisk::new(seed);
    let policies = [
        SyncPolicy::Always,
        SyncPolicy::Interval(Duration::from_millis(2)),
        SyncPolicy::Manual,
    ];
    let options = options()
        .sync_policy(policies[rng.count(3) - 1])
        .queue_records(rng.count(20))
        .max_batch_records(rng.count(8))
        .spare_segments(rng.count(2) - 1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    drop(wal.submit("first").await.unwrap());
    wal.sync().await.unwrap();
    disk.set_sync_time(Duration::from_millis(rng.roll(3)));
    let mut sequences: Vec<_> = (0..3).map(|owner| begin(&wal, owner)).collect();
    let mut ended = Vec::new();
    for number in 0..60 {
        step(&disk, &wal, &mut rng, &mut sequences, &mut ended, number).await;
    }
    ended.append(&mut sequences);
    let was_cut = end(&disk, wal, &mut rng, &mut ended).await;
    let recovered = recover(&disk).await;
    for sequence in &ended {
        check(sequence, &recovered, was_cut, tally);
    }
}

fn begin(wal: &Wal, owner: u64) -> Sequence {
    Sequence {
        owner,
        appender: wal.ordered(),
        submitted: Vec::new(),
        has_dropped: false,
    }
}

async fn step(
    disk: &SimDisk,
    wal: &Wal,
    rng: &mut Rng,
    sequences: &mut [Sequence],
    ended: &mut Vec<Sequence>,
    number: u64,
) {
    let sequence = &mut sequences[rng.count(3) - 1];
    match rng.roll(12) {
        0 => disk.set_quota(Some((1 + rng.roll(6)) * 16 * 1024)),
        1 => disk.set_quota(None),
        2 => tokio::time::sleep(Duration::from_millis(rng.roll(5))).await,
        3 => drop(task::spawn(wal.submit(vec![0; rng.len()])).poll()),
        4 => {
            sequence.has_dropped = true;
            drop(task::spawn(sequence.appender.submit("in line, or submitted")).poll());
        }
        5 if sequence.appender.refusal().is_some() => {
            sequence.answers().await;
            let owner = sequence.owner;
            ended.push(std::mem::replace(sequence, begin(wal, owner)));
        }
        _ => sequence.submit(rng, number).await,
    }
}

impl Sequence {
    async fn submit(&mut self, rng: &mut Rng, number: u64) {
        let len = if rng.once_in(40) { 20_000 } else { rng.len() };
        let parts = if rng.once_in(4) { rng.count(3) } else { 1 };
        let durability = [Durability::Durable, Durability::Written][rng.count(2) - 1];
        let name = format!("{}/{number:02}", self.owner);
        let payloads = (0..parts).map(|_| {
            let mut payload = format!("{name} ").into_bytes();
            payload.resize(payload.len() + len / parts, b'.');
            payload
        });
        let submitted = self.appender.submit_batch_with(payloads, durability);
        let (pending, outcome) = match submitted.await {
            Ok(pending) => (Some(pending), None),
            Err(error) => (None, Some(Err(error))),
        };
        self.submitted.push(Submitted {
            name,
            durability,
            pending,
            outcome,
        });
    }

    /// Waits for all answers.
    async fn answers(&mut self) {
        for submitted in &mut self.submitted {
            if let Some(pending) = submitted.pending.take() {
                let answer = answer(self.appender.wal(), pending).await;
                submitted.outcome = Some(answer.map(drop));
            }
        }
    }
}

/// Waits for an answer, and requests syncs until it is there: a sync fails if a record of its batch
/// was refused.
async fn answer(wal: &Wal, mut pending: PendingBatch) -> tidewal::Result<RangeInclusive<Lsn>> {
    loop {
        if let Poll::Ready(answer) = futures::poll!(&mut pending) {
            return answer;
        }
        let _ = wal.sync().await;
    }
}

/// Closes the log, or cuts its power with or without answers outstanding. Returns whether it did.
async fn end(disk: &SimDisk, wal: Wal, rng: &mut Rng, sequences: &mut [Sequence]) -> bool {
    let cuts = rng.once_in(2);
    let waits = !cuts || rng.once_in(2);
    if waits {
        for sequence in &mut *sequences {
            sequence.answers().await;
        }
    }
    if cuts {
        disk.cut_power();
        for sequence in &mut *sequences {
            sequence.answers().await;
        }
        let _ = wal.close().await;
        disk.restart(Survival::Random);
    } else {
        wal.close().await.unwrap();
    }
    disk.set_quota(None);
    cuts
}

/// The number of records of each name.
async fn recover(disk: &SimDisk) -> BTreeMap<String, usize> {
    let mut recovery: Recovery = options().recover_on(disk, DIR).await.unwrap();
    let mut found = BTreeMap::new();
    while let Some(record) = recovery.try_next().await.unwrap() {
        let payload = String::from_utf8_lossy(&record.payload);
        let name = payload.split(' ').next().unwrap_or_default();
        *found.entry(name.to_owned()).or_default() += 1;
    }
    found
}

/// Checks that nothing after a refused record is appended, and that acknowledged records are in the
/// log.
fn check(
    sequence: &Sequence,
    recovered: &BTreeMap<String, usize>,
    was_cut: bool,
    tally: &mut Tally,
) {
    let mut refused = None;
    for submitted in &sequence.submitted {
        let name = &submitted.name;
        let is_there = recovered.contains_key(name);
        match submitted.outcome.as_ref().expect("all were answered") {
            Ok(()) => {
                assert_eq!(refused, None, "{name} is acknowledged");
                let may_be_lost = was_cut && submitted.durability == Durability::Written;
                assert!(is_there || may_be_lost, "{name} is lost");
                tally.acknowledged += 1;
            }
            Err(error) if error.is_outcome_unknown() => {
                assert!(refused.is_none() || !is_there, "{name} is there");
            }
            Err(error) => {
                assert!(!is_there, "{name} is there, and was refused: {error}");
                if matches!(error, Error::EarlierRefused(_)) {
                    let is_behind = refused.is_some() || sequence.has_dropped;
                    assert!(is_behind, "{name} is behind nothing that was refused");
                    tally.behind += 1;
                }
                refused.get_or_insert_with(|| name.clone());
                tally.refused += 1;
            }
        }
    }
}
