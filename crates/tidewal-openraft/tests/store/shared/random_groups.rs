//! Groups are created, work with many appends in flight, idle and are removed. Disks are full, and
//! processes end at any time. After each crash every group has the state after a prefix of its
//! calls that includes every acknowledged one.

use std::collections::{BTreeMap, BTreeSet};

use tidewal::sim::Survival;
use tidewal_testing::harness::Label;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{RaftLog, RaftLogs, StoreError, Vote, text};
use super::calls::{Caller, InFlight};
use super::groups::{open, try_open};
use super::state::{Model, Past, state_of};
use crate::number;
use crate::story::{Calls, Groups, GroupsSeen, used};
use crate::support::{options, run};

#[test]
fn random_groups_and_deaths() {
    let seeds = number("TIDEWAL_SEEDS", 200);
    let mut seen = GroupsSeen::default();
    for seed in 0..seeds {
        let _label = Label(format!("seed {seed}"));
        run(five_lives(seed, &mut seen));
    }
    println!("{seeds} seeds: {seen:?}");
    assert!(seen.truncated > seeds / 2 && seen.cuts > seeds / 4);
    assert!(seen.full > seeds / 10 && seen.spared > seeds && seen.removals > seeds);
    assert!(seen.calls.most_in_flight > 10);
}

async fn five_lives(seed: u64, counts: &mut GroupsSeen) {
    let mut story = Groups::new(seed);
    for _ in 0..5 {
        live(&mut story, counts).await;
    }
    compare(&open(&story.disk).await, &mut story.pasts).await;
    counts.truncated += u64::from(story.look().await);
}

/// Lives once under this version: opens the logs, checks their states, and works on them.
pub async fn live(story: &mut Groups, seen: &mut GroupsSeen) {
    if story.rng.once_in(2) {
        let after = 20 + story.rng.roll(600);
        story.disk.cut_power_at(story.disk.operations() + after);
    }
    match try_open(options().spare_segments(0), &story.disk).await {
        Ok(logs) => {
            compare(&logs, &mut story.pasts).await;
            Life::new(story, &logs).work(seen).await;
        }
        Err(error) => assert!(story.disk.is_off(), "{error}"),
    }
    seen.cuts += u64::from(story.disk.is_off());
    story.disk.set_quota(None);
    match story.rng.once_in(2) && !story.disk.is_off() {
        true => story.disk.kill(),
        false => story.disk.restart(Survival::Random),
    }
    tokio::task::yield_now().await;
}

/// Checks that every group has the state after a prefix of its calls that includes every
/// acknowledged one, and that no other group is there.
pub async fn compare(logs: &RaftLogs, pasts: &mut BTreeMap<u64, Past>) {
    for group in logs.groups() {
        assert!(pasts.contains_key(&group), "group {group} came back");
    }
    for (group, past) in pasts {
        let _label = Label(format!("group {group}"));
        let mut log = logs.open_group(*group).unwrap();
        past.recovered(state_of(&mut log).await);
    }
}

/// A process that works on many groups.
struct Life<'a> {
    story: &'a mut Groups,
    logs: &'a RaftLogs,
    open: BTreeMap<u64, (RaftLog, InFlight)>,
    /// The groups that a full disk has ended.
    failed: BTreeSet<u64>,
}

impl<'a> Life<'a> {
    fn new(story: &'a mut Groups, logs: &'a RaftLogs) -> Self {
        Self {
            story,
            logs,
            open: BTreeMap::new(),
            failed: BTreeSet::new(),
        }
    }

    async fn work(&mut self, seen: &mut GroupsSeen) {
        for _ in 0..self.story.rng.count(150) {
            self.change_room();
            // Group 0 is busy, and the others are mostly idle.
            let is_busy = !self.story.rng.once_in(4);
            let group = if is_busy { 0 } else { self.story.rng.roll(12) };
            if self.failed.contains(&group) {
                continue;
            }
            if let Err(error) = self.call(group, &mut seen.calls).await {
                if self.story.disk.is_off() {
                    return;
                }
                self.fails(group, &text(&error)).await;
                seen.full += 1;
                continue;
            }
            seen.spared += u64::from(!self.failed.is_empty());
            if group > 8 && self.story.rng.once_in(8) {
                seen.removals += u64::from(self.remove(group).await);
            }
        }
    }

    /// Sometimes fills the disk, or makes room again.
    fn change_room(&mut self) {
        if self.story.rng.once_in(60) {
            let room = used(&self.story.disk) + self.story.rng.roll(20_000);
            self.story.disk.set_quota(Some(room));
        } else if self.story.rng.once_in(10) {
            self.story.disk.set_quota(None);
        }
    }

    async fn call(&mut self, group: u64, calls: &mut Calls) -> Result<(), StoreError> {
        let opened = || (self.logs.open_group(group).unwrap(), InFlight::new());
        let (log, in_flight) = self.open.entry(group).or_insert_with(opened);
        let mut caller = Caller {
            log,
            past: self
                .story
                .pasts
                .entry(group)
                .or_insert_with(Past::of_a_new_log),
            rng: &mut self.story.rng,
            in_flight,
        };
        caller.call(calls).await?;
        caller.settle(false).await
    }

    /// A group has failed: so does its every later call, until the log is opened again.
    async fn fails(&mut self, group: u64, error: &str) {
        assert!(error.contains("the disk is full"), "{error}");
        self.failed.insert(group);
        if let Some((mut log, _)) = self.open.remove(&group) {
            self.story.disk.set_quota(None);
            assert!(log.save_vote(&Vote::new(99, 1)).await.is_err());
        }
    }

    /// Removes a group. Returns whether it is removed.
    async fn remove(&mut self, group: u64) -> bool {
        drop(self.open.remove(&group));
        let past = self.story.pasts.entry(group).or_default();
        let call = past.ask(Model::default());
        match self.logs.remove_group(group).await {
            Ok(()) => past.acknowledge(call),
            Err(_) if self.story.disk.is_off() => return false,
            Err(error) => {
                self.fails(group, &error.to_string()).await;
                return false;
            }
        }
        true
    }
}
