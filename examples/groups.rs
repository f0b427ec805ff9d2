//! Many logical logs in one: raft groups, shards or tenants that share the syncs of a single `Wal`.
//!
//!     cargo run --release --example groups [SEEDS]
//!
//! Each group numbers its own entries, and purges them once it has a snapshot. The log has one low-water mark:
//! the oldest entry that any group still needs. An idle group would keep the mark, and with it the whole log, from
//! moving. Its few entries are therefore appended again when they are too far back. Recovery reads the log once
//! and distributes the entries to the groups.
//!
//! [`Groups`] is short enough to be copied. Three rules make it correct. In [`Group::log`], a record is noted when
//! it is submitted, with no await in between, and [`Group::settle`] applies it when it is durable, so a caller that
//! is dropped cannot separate the log and memory. The records of a group depend on each other, so they go through one
//! ordered appender: if the disk is full, no entry is appended after a refused one, and the group continues once
//! there is space. In [`Groups::release`], an entry is truncated only if it is durable elsewhere or no longer needed.
//!
//! The rest of the file tests this on a simulated disk: 32 groups, most of them idle and one with more entries than
//! fit into a segment, callers that are dropped, power cuts at every moment, a full disk, and a log that stays small.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use futures::future::join_all;
use futures::poll;
use serde::{Deserialize, Serialize};
use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::{Logged, Postcard, TypedOrderedAppender, TypedRecovery, TypedWal};
use tidewal::{Error, Lsn, PendingAppend, Result, Wal, WalOptions};
use tokio::sync::Mutex;

/// One record of the shared log.
#[derive(Clone, Debug, Deserialize, Serialize)]
enum Record {
    /// An entry of a group. If the index exists already, it replaces that entry and all later ones, as raft
    /// requires.
    Entry {
        group: u32,
        index: u64,
        data: String,
    },
    /// An entry that is appended again so that its older record can be truncated. It replaces only itself.
    Again {
        group: u32,
        index: u64,
        data: String,
    },
    /// The entries of a group up to an index are no longer needed.
    Purged { group: u32, upto: u64 },
}

impl Logged for Record {
    type Codec = Postcard;
}

/// The entries that a group needs, each with the LSN of its record.
type Entries = BTreeMap<u64, (Lsn, String)>;

/// Groups of entries over one log.
struct Groups {
    wal: TypedWal<Record>,
    groups: Vec<Mutex<Group>>,
}

/// One group.
struct Group {
    /// The state after every record that is durable.
    entries: Entries,
    /// The records after these that were submitted and are not answered yet, oldest first.
    unanswered: VecDeque<(PendingAppend, Record)>,
    /// After a refusal it refuses every later record of the group: those rely on the refused one.
    appender: TypedOrderedAppender<Record>,
    /// The first failure of a record whose answer was received, until a caller is told.
    failed: Option<Error>,
}

impl Group {
    fn new(entries: Entries, wal: &TypedWal<Record>) -> Self {
        Self {
            entries,
            unanswered: VecDeque::new(),
            appender: wal.ordered(),
            failed: None,
        }
    }

    /// Submits a record, and notes it: no await comes between the two.
    async fn log(&mut self, record: Record) -> Result<()> {
        let pending = self.appender.submit(&record).await?;
        self.unanswered.push_back((pending, record));
        Ok(())
    }

    /// Waits until everything that was submitted is answered, including records of callers that were dropped, and
    /// applies what is durable.
    ///
    /// Refused are always the last ones. Memory has none of them, so there is nothing to undo in it, and the group
    /// continues with a new appender.
    async fn settle(&mut self, wal: &TypedWal<Record>) -> Result<()> {
        while let Some((pending, _)) = self.unanswered.front_mut() {
            let answer = pending.await;
            let Some((_, record)) = self.unanswered.pop_front() else {
                break;
            };
            match answer {
                Ok(lsn) => record.apply(lsn, &mut self.entries),
                Err(error) => {
                    self.failed.get_or_insert(error);
                }
            }
        }
        if self.appender.refusal().is_some() {
            self.appender = wal.ordered();
        }
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl Groups {
    /// Reads the log and distributes the entries to the groups.
    async fn recover(mut recovery: TypedRecovery<Record>, groups: u32) -> Result<Self> {
        let mut found: Vec<_> = (0..groups).map(|_| Entries::new()).collect();
        while let Some((lsn, record)) = recovery.try_next().await? {
            let group = record.group() as usize;
            record.apply(lsn, &mut found[group]);
        }
        let wal = recovery.into_wal().await?;
        let groups = found.into_iter().map(|entries| Group::new(entries, &wal));
        Ok(Self {
            groups: groups.map(Mutex::new).collect(),
            wal,
        })
    }

    /// Appends an entry to a group. `Ok` means that it is durable.
    ///
    /// If the future is dropped before that, the entry may or may not be appended. The group works in either case, and
    /// after a full disk once there is space again.
    /// Other groups do not wait for this one: they share the sync. (A group with many entries in flight would await
    /// the answers outside of the lock.)
    async fn append(&self, group: u32, index: u64, data: String) -> Result<()> {
        self.change(Record::Entry { group, index, data }).await
    }

    /// Purges the entries of a group up to an index, because a snapshot covers them.
    async fn purge(&self, group: u32, upto: u64) -> Result<()> {
        self.change(Record::Purged { group, upto }).await
    }

    async fn change(&self, record: Record) -> Result<()> {
        let number = record.group();
        let mut group = self.groups[number as usize].lock().await;
        group.settle(&self.wal).await?;
        group.log(record).await?;
        group.settle(&self.wal).await
    }

    /// Moves the low-water mark: truncates what no group needs, and appends needed entries again if they are more than
    /// `distance` records back.
    ///
    /// A segment of dead records costs more than writing a few live ones twice. With a distance of a few segments, the
    /// entries of a busy group are purged long before they would be appended again.
    async fn release(&self, distance: u64) -> Result<()> {
        let durable = self.wal.durable_lsn();
        let limit = Lsn::new(durable.get().saturating_sub(distance));
        // All groups at once, so they share a sync.
        let groups = (0..).zip(&self.groups);
        let oldest = join_all(groups.map(|(number, group)| async move {
            let mut group = group.lock().await;
            self.bring_forward(number, &mut group, limit).await
        }));
        let oldest = oldest.await.into_iter().collect::<Result<Vec<_>>>()?;
        // Everything that was appended in the meantime comes after `durable`.
        let mark = oldest.into_iter().flatten().fold(durable.next(), Lsn::min);
        self.wal.truncate_before(mark).await
    }

    /// Appends those entries of a group again whose records come before `limit`. Returns the oldest LSN that the group
    /// needs afterwards, if it needs any.
    ///
    /// They are appended one by one, because together they might not fit into a segment. Each replaces only itself, so
    /// a crash between two of them does no harm. All are durable before anything is truncated.
    async fn bring_forward(
        &self,
        number: u32,
        group: &mut Group,
        limit: Lsn,
    ) -> Result<Option<Lsn>> {
        group.settle(&self.wal).await?;
        let old: Vec<_> = group
            .entries
            .iter()
            .filter(|(_, (lsn, _))| *lsn < limit)
            .map(|(index, (_, data))| (*index, data.clone()))
            .collect();
        for (index, data) in old {
            let again = Record::Again {
                group: number,
                index,
                data,
            };
            group.log(again).await?;
        }
        group.settle(&self.wal).await?;
        Ok(group.entries.values().map(|(lsn, _)| *lsn).min())
    }
}

impl Record {
    fn group(&self) -> u32 {
        match self {
            Self::Entry { group, .. } | Self::Again { group, .. } | Self::Purged { group, .. } => {
                *group
            }
        }
    }

    fn apply(self, lsn: Lsn, entries: &mut Entries) {
        match self {
            Self::Entry { index, data, .. } => {
                entries.split_off(&index);
                entries.insert(index, (lsn, data));
            }
            Self::Again { index, data, .. } => {
                entries.insert(index, (lsn, data));
            }
            Self::Purged { upto, .. } => *entries = entries.split_off(&(upto + 1)),
        }
    }
}

fn main() -> ExitCode {
    let seeds = std::env::args()
        .nth(1)
        .map_or(Ok(300), |seeds| seeds.parse());
    let Ok(seeds) = seeds else {
        eprintln!("usage: groups [SEEDS], a number");
        return ExitCode::FAILURE;
    };
    let started = Instant::now();
    let mut total = Life::default();
    for seed in 0..seeds {
        match live_and_die(seed) {
            Ok(life) => total.add(&life),
            Err(problem) => {
                println!("seed {seed}: {problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    let took = started.elapsed().as_secs_f64();
    println!(
        "{seeds} power cuts in {took:.1} s: {} groups appended {} entries with {} syncs, {:.1} to a sync",
        GROUPS,
        total.appended,
        total.syncs,
        f64::from(total.appended) / f64::from(total.syncs.max(1))
    );
    println!(
        "none was lost, and the log never had more than {} segments",
        total.segments
    );
    ExitCode::SUCCESS
}

const GROUPS: u32 = 32;

/// How many groups are busy. The others append a few entries and are idle from then on.
const BUSY: u32 = 8;

/// How many entries a busy group keeps.
const KEPT: u64 = 10;

/// An idle group with more entries than fit into a segment.
const LARGE: u32 = GROUPS - 1;
const LARGE_ENTRIES: u64 = 12;

/// Enough for a few hundred records, and for those of the large group twice while they are appended again.
const SEGMENTS_MAX: usize = 7;

/// The counts of one life.
#[derive(Default)]
struct Life {
    appended: u32,
    syncs: u32,
    segments: usize,
}

impl Life {
    fn add(&mut self, other: &Self) {
        self.appended += other.appended;
        self.syncs += other.syncs;
        self.segments = self.segments.max(other.segments);
    }
}

/// What was acknowledged of each group: the last index, and the index up to which it may be purged.
type Promised = Vec<(u64, u64)>;

fn options() -> WalOptions {
    Wal::options().segment_size(16 * 1024)
}

async fn open(disk: &SimDisk) -> Result<Groups> {
    Groups::recover(options().recover_on(disk, "groups").await?.typed(), GROUPS).await
}

fn live_and_die(seed: u64) -> std::result::Result<Life, String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let disk = SimDisk::new(seed);
        disk.cut_power_at(40 + seed * 7 % 500);
        let mut promised = vec![(0, 0); GROUPS as usize];
        let mut life = Life::default();
        if let Ok(groups) = open(&disk).await {
            // The error that ends the work is the power cut.
            let _ = work(&groups, &disk, &mut promised, &mut life).await;
        }
        disk.restart(Survival::Random);
        let groups = open(&disk)
            .await
            .map_err(|error| format!("it does not start: {error}"))?;
        check(&groups, &promised).await?;
        match life.segments {
            0..=SEGMENTS_MAX => Ok(life),
            segments => Err(format!(
                "the log had {segments} segments: it is not truncated"
            )),
        }
    })
}

/// Rounds in which each busy group appends an entry, all at the same time.
async fn work(
    groups: &Groups,
    disk: &SimDisk,
    promised: &mut Promised,
    life: &mut Life,
) -> Result<()> {
    for index in 1..=LARGE_ENTRIES {
        groups.append(LARGE, index, entry(LARGE, index)).await?;
        promised[LARGE as usize].0 = index;
    }
    for index in 1.. {
        let active = if index <= 3 { LARGE } else { BUSY };
        give_up(groups, index).await;
        let appends = (0..active).map(|group| groups.append(group, index, entry(group, index)));
        let outcomes = join_all(appends).await;
        for (group, outcome) in outcomes.iter().enumerate().filter(|(_, o)| o.is_ok()) {
            promised[group].0 = index;
            life.appended += u32::from(outcome.is_ok());
        }
        life.syncs = u32::try_from(groups.wal.stats().syncs).unwrap_or(u32::MAX);
        outcomes.into_iter().collect::<Result<Vec<_>>>()?;
        if index % KEPT == 0 {
            promised[..BUSY as usize]
                .iter_mut()
                .for_each(|group| group.1 = index - KEPT);
            let purges = (0..BUSY).map(|group| groups.purge(group, index - KEPT));
            join_all(purges)
                .await
                .into_iter()
                .collect::<Result<Vec<_>>>()?;
            groups.release(300).await?;
        }
        let files = disk.files("groups");
        let segments = files.iter().filter(|name| name.contains(".wal")).count();
        life.segments = life.segments.max(segments);
    }
    Ok(())
}

/// A caller that is dropped while its entry is in flight. Another one follows with the same entry or the next.
async fn give_up(groups: &Groups, index: u64) {
    let append = groups.append(0, index, entry(0, index));
    drop(poll!(pin!(append)));
}

fn entry(group: u32, index: u64) -> String {
    let len = if group == LARGE { 2000 } else { 40 };
    format!("{group}/{index} {}", "x".repeat(len))
}

async fn check(groups: &Groups, promised: &Promised) -> std::result::Result<(), String> {
    for (group, &(last, purged)) in (0..).zip(promised) {
        let entries = &groups.groups[group as usize].lock().await.entries;
        for index in purged + 1..=last {
            match entries.get(&index) {
                Some((_, data)) if *data == entry(group, index) => {}
                other => return Err(format!("entry {index} of group {group} is {other:?}")),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        runtime.expect("a runtime can be made").block_on(test);
    }

    /// The entries of a group after everything that was submitted.
    async fn kept(groups: &Groups, group: u32) -> Vec<(u64, String)> {
        let mut group = groups.groups[group as usize].lock().await;
        group.settle(&groups.wal).await.expect("the disk works");
        let entries = group.entries.iter();
        let entries = entries.map(|(index, (_, data))| (*index, data.clone()));
        entries.collect()
    }

    /// A full disk ended a group until the next start.
    #[test]
    fn regression_a_group_works_again_once_there_is_space() {
        run(async {
            let disk = SimDisk::new(1);
            let groups = open(&disk).await.expect("a new log opens");
            let append = |index| groups.append(LARGE, index, entry(LARGE, index));
            append(1).await.expect("there is space");
            disk.set_quota(Some(1));
            let mut index = 2;
            let refused = loop {
                match append(index).await {
                    Ok(()) => index += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, Error::StorageFull(_)), "{refused:?}");
            // The caller of the next one goes away. What relies on it is refused, although it is small.
            drop(poll!(pin!(append(index))));
            let small = groups.append(LARGE, index + 1, "small".into()).await;
            small.expect_err("the one before it is not there");
            let full: Vec<_> = (1..index).map(|i| (i, entry(LARGE, i))).collect();
            assert_eq!(kept(&groups, LARGE).await, full);

            disk.set_quota(None);
            append(index).await.expect("there is space again");
            let more: Vec<_> = (1..=index).map(|i| (i, entry(LARGE, i))).collect();
            assert_eq!(kept(&groups, LARGE).await, more);
            disk.restart(Survival::Nothing);
            let groups = open(&disk).await.expect("it starts again");
            assert_eq!(kept(&groups, LARGE).await, more);
        });
    }

    /// The future of an append was dropped: its entry was recovered after a restart although it was not in memory, and
    /// a later acknowledged entry was lost.
    #[test]
    fn regression_a_dropped_append_loses_nothing_that_was_acknowledged() {
        run(async {
            let disk = SimDisk::new(1);
            let groups = open(&disk).await.expect("a new log opens");
            for index in [1, 2] {
                let sent = groups.append(7, index, entry(7, index)).await;
                sent.expect("the disk works");
            }
            // Replaces entry 1 and, as raft requires, all later ones.
            drop(poll!(pin!(groups.append(7, 1, "new".into()))));
            let in_memory = kept(&groups, 7).await;
            groups
                .append(8, 1, entry(8, 1))
                .await
                .expect("the disk works");
            disk.restart(Survival::Nothing);
            let groups = open(&disk).await.expect("it starts again");
            assert_eq!(kept(&groups, 7).await, in_memory);
            assert_eq!(in_memory, [(1, "new".to_owned())]);
        });
    }

    /// More entries than fit into a segment were appended again in one atomic batch. The batch was always refused, so
    /// the log was never truncated.
    #[test]
    fn regression_a_group_of_more_than_a_segment_is_brought_forward() {
        run(async {
            let disk = SimDisk::new(1);
            let groups = open(&disk).await.expect("a new log opens");
            for index in 1..=LARGE_ENTRIES {
                let sent = groups.append(LARGE, index, entry(LARGE, index)).await;
                sent.expect("the disk works");
            }
            for index in 1..=100 {
                groups
                    .append(0, index, entry(0, index))
                    .await
                    .expect("the disk works");
            }
            groups.purge(0, 100).await.expect("the disk works");
            groups.release(10).await.expect("the log is truncated");
            assert_eq!(
                groups.wal.stats().segments_truncated,
                2,
                "{:?}",
                groups.wal.stats()
            );
            let promised = (0..GROUPS).map(|group| match group {
                LARGE => (LARGE_ENTRIES, 0),
                _ => (0, 0),
            });
            disk.restart(Survival::Nothing);
            let groups = open(&disk).await.expect("it starts again");
            check(&groups, &promised.collect())
                .await
                .expect("nothing is lost");
        });
    }
}
