//! Many logical logs in one: raft groups, shards or tenants that share the syncs of a single `Wal`.
//!
//!     cargo run --release --example groups [SEEDS]
//!
//! Each group has entries with indexes of its own, and is purged when it has a snapshot. The log has
//! one low-water mark, the oldest entry that any group still needs; a group that is idle would hold it,
//! and with it the whole log, so that its few entries are appended again when they lie too far back.
//! Recovery reads the log once and deals the entries out.
//!
//! [`Groups`] is short enough to be copied. What it needs to be right is in [`Groups::append`] (the
//! order in memory is that of the log) and in [`Groups::release`] (nothing is truncated that is not
//! durable elsewhere). The rest of the file lets it live and die on a simulated disk: 32 groups, of
//! which most are idle, power cuts at every moment, and a log that stays small.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::{Logged, Postcard, TypedRecovery, TypedWal};
use tidewal::{Lsn, Result, Wal, WalOptions};
use tokio::sync::Mutex;

/// One record of the shared log.
#[derive(Clone, Debug, Deserialize, Serialize)]
enum Record {
    /// An entry of a group. One with an index that was there before replaces it and all after it, as
    /// raft wants it.
    Entry {
        group: u32,
        index: u64,
        data: String,
    },
    /// An entry that is appended again, so that its older record can go. It replaces only itself.
    Again {
        group: u32,
        index: u64,
        data: String,
    },
    /// The entries of a group up to an index are not needed any more.
    Purged { group: u32, upto: u64 },
}

impl Logged for Record {
    type Codec = Postcard;
}

/// The entries of a group that are needed, and where in the log each stands.
type Entries = BTreeMap<u64, (Lsn, String)>;

/// Groups of entries over one log.
struct Groups {
    wal: TypedWal<Record>,
    /// Of each group what was submitted last, whether durable yet or not.
    entries: Vec<Mutex<Entries>>,
}

impl Groups {
    /// Reads the log and deals the entries out.
    async fn recover(mut recovery: TypedRecovery<Record>, groups: u32) -> Result<Self> {
        let mut entries: Vec<_> = (0..groups).map(|_| Entries::new()).collect();
        while let Some((lsn, record)) = recovery.try_next().await? {
            record.apply(lsn, &mut entries);
        }
        Ok(Self {
            wal: recovery.into_wal().await?,
            entries: entries.into_iter().map(Mutex::new).collect(),
        })
    }

    /// Appends an entry to a group. `Ok` means that it is on disk.
    ///
    /// The lock of the group is held until the answer is there, so that the group's entries are in
    /// memory as they are in the log. Other groups do not wait: they share the sync. (A group that wants
    /// many entries in flight would submit under the lock, and await the answers outside of it.)
    async fn append(&self, group: u32, index: u64, data: String) -> Result<()> {
        let mut entries = self.entries[group as usize].lock().await;
        let entry = Record::Entry {
            group,
            index,
            data: data.clone(),
        };
        let lsn = self.wal.append(&entry).await?;
        entries.split_off(&index);
        entries.insert(index, (lsn, data));
        Ok(())
    }

    /// Forgets the entries of a group up to an index, which a snapshot holds.
    async fn purge(&self, group: u32, upto: u64) -> Result<()> {
        let mut entries = self.entries[group as usize].lock().await;
        self.wal.append(&Record::Purged { group, upto }).await?;
        *entries = entries.split_off(&(upto + 1));
        Ok(())
    }

    /// Moves the low-water mark: gives back what no group needs, and appends again what lies more than
    /// `distance` records back.
    ///
    /// A segment of dead records costs more than a few live ones written twice. With a distance of a
    /// few segments a busy group's entries are purged long before it comes to that.
    async fn release(&self, distance: u64) -> Result<()> {
        let durable = self.wal.durable_lsn();
        let limit = Lsn::new(durable.get().saturating_sub(distance));
        // All at once, so that they share a sync.
        let groups = 0..self.entries.len();
        let oldest = join_all(groups.map(|group| self.bring_forward(group, limit))).await;
        let oldest = oldest.into_iter().collect::<Result<Vec<_>>>()?;
        // What was appended meanwhile lies beyond what was durable before.
        let mark = oldest.into_iter().flatten().fold(durable.next(), Lsn::min);
        self.wal.truncate_before(mark).await
    }

    /// Appends the entries of a group again whose records lie before `limit`. Returns the oldest LSN that
    /// the group needs afterwards, if it needs any.
    async fn bring_forward(&self, group: usize, limit: Lsn) -> Result<Option<Lsn>> {
        let mut entries = self.entries[group].lock().await;
        let old: Vec<_> = entries
            .iter()
            .filter(|(_, (lsn, _))| *lsn < limit)
            .map(|(index, (_, data))| (*index, data.clone()))
            .collect();
        if !old.is_empty() {
            let again = old.iter().map(|(index, data)| Record::Again {
                group: u32::try_from(group).unwrap_or(u32::MAX),
                index: *index,
                data: data.clone(),
            });
            // One atomic batch, and durable before anything is truncated.
            let lsns = self.wal.append_batch(again).await?;
            let lsns = (lsns.start().get()..).map(Lsn::new);
            entries.extend(
                old.into_iter()
                    .zip(lsns)
                    .map(|((i, data), lsn)| (i, (lsn, data))),
            );
        }
        Ok(entries.values().map(|(lsn, _)| *lsn).min())
    }
}

impl Record {
    fn apply(self, lsn: Lsn, groups: &mut [Entries]) {
        match self {
            Self::Entry { group, index, data } => {
                let entries = &mut groups[group as usize];
                entries.split_off(&index);
                entries.insert(index, (lsn, data));
            }
            Self::Again { group, index, data } => {
                groups[group as usize].insert(index, (lsn, data));
            }
            Self::Purged { group, upto } => {
                let entries = &mut groups[group as usize];
                *entries = entries.split_off(&(upto + 1));
            }
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

/// Of the groups so many are busy; the others have appended a little, and are idle ever after.
const BUSY: u32 = 8;

/// A busy group keeps so many entries.
const KEPT: u64 = 10;

/// What a log may take that holds a few hundred records, with the segment that is being written.
const SEGMENTS_MAX: usize = 4;

/// What a life has seen.
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
            // The error that ends it is the power's.
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
                "the log had {segments} segments, it is not given back"
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
    for index in 1.. {
        let active = if index <= 3 { GROUPS } else { BUSY };
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

fn entry(group: u32, index: u64) -> String {
    format!("{group}/{index} {}", "x".repeat(40))
}

async fn check(groups: &Groups, promised: &Promised) -> std::result::Result<(), String> {
    for (group, &(last, purged)) in (0..).zip(promised) {
        let entries = groups.entries[group as usize].lock().await;
        for index in purged + 1..=last {
            match entries.get(&index) {
                Some((_, data)) if *data == entry(group, index) => {}
                other => return Err(format!("entry {index} of group {group} is {other:?}")),
            }
        }
    }
    Ok(())
}
