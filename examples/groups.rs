//! Many logical logs in one: raft groups, shards or tenants that share the syncs of a single `Wal`.
//!
//!     cargo run --release --example groups [SEEDS]
//!
//! Each group numbers its own entries, and purges them once it has a snapshot. The log has one low-water mark:
//! the oldest entry that any group still needs. An idle group would keep the mark, and with it the whole log, from
//! moving. Its few entries are therefore appended again when they are too far back. Recovery reads the log once
//! and distributes the entries to the groups.
//!
//! [`Groups`] is short enough to be copied. Two rules make it correct. In [`Group::log`], memory changes when a
//! record is submitted, with no await in between, so a caller that is dropped cannot separate the two. In
//! [`Groups::release`], an entry is truncated only if it is durable elsewhere or no longer needed.
//!
//! The rest of the file tests this on a simulated disk: 32 groups, most of them idle and one with more entries than
//! fit into a segment, callers that are dropped, power cuts at every moment, and a log that stays small.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use futures::future::join_all;
use futures::poll;
use serde::{Deserialize, Serialize};
use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::{Logged, Postcard, TypedRecovery, TypedWal};
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

/// The entries that a group needs, each with an LSN at or below that of its record.
type Entries = BTreeMap<u64, (Lsn, String)>;

/// Groups of entries over one log.
struct Groups {
    wal: TypedWal<Record>,
    groups: Vec<Mutex<Group>>,
}

/// One group: the state after everything that was submitted, durable or not.
#[derive(Default)]
struct Group {
    entries: Entries,
    /// The appends that are not answered yet, oldest first.
    unanswered: VecDeque<PendingAppend>,
    /// The error after which a record that is in memory may be missing in the log. Only a restart can tell.
    failed: Option<Error>,
}

impl Group {
    /// Submits a record and changes memory: no await comes between the two.
    async fn log(&mut self, wal: &TypedWal<Record>, number: u32, record: Record) -> Result<()> {
        // Every record that is appended from now on comes after the durable ones.
        let lsn = wal.durable_lsn().next();
        let pending = wal.submit(&record).await?;
        self.unanswered.push_back(pending);
        debug_assert_eq!(record.group(), number);
        record.apply(lsn, &mut self.entries);
        Ok(())
    }

    /// Waits until everything that was submitted is durable, including records of callers that were dropped. After a
    /// failure, memory is ahead of the log, and the group takes no more records.
    async fn settle(&mut self) -> Result<()> {
        while let Some(pending) = self.unanswered.front_mut() {
            if let Err(error) = pending.await {
                self.failed.get_or_insert(error);
            }
            self.unanswered.pop_front();
        }
        self.failed.clone().map_or(Ok(()), Err)
    }
}

impl Groups {
    /// Reads the log and distributes the entries to the groups.
    async fn recover(mut recovery: TypedRecovery<Record>, groups: u32) -> Result<Self> {
        let mut found: Vec<_> = (0..groups).map(|_| Group::default()).collect();
        while let Some((lsn, record)) = recovery.try_next().await? {
            let group = &mut found[record.group() as usize];
            record.apply(lsn, &mut group.entries);
        }
        Ok(Self {
            wal: recovery.into_wal().await?,
            groups: found.into_iter().map(Mutex::new).collect(),
        })
    }

    /// Appends an entry to a group. `Ok` means that it is durable.
    ///
    /// If the future is dropped before that, the entry may or may not be appended. The group works in either case.
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
        group.settle().await?;
        group.log(&self.wal, number, record).await?;
        group.settle().await
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
        group.settle().await?;
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
            group.log(&self.wal, number, again).await?;
        }
        group.settle().await?;
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
            let kept = |groups: &Groups| {
                let group = groups.groups[7].try_lock().expect("it is not in use");
                let entries = group.entries.iter();
                entries
                    .map(|(index, (_, data))| (*index, data.clone()))
                    .collect::<Vec<_>>()
            };
            let in_memory = kept(&groups);
            groups
                .append(8, 1, entry(8, 1))
                .await
                .expect("the disk works");
            disk.restart(Survival::Nothing);
            let groups = open(&disk).await.expect("it starts again");
            assert_eq!(kept(&groups), in_memory);
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
