//! Random calls, many in flight, with kills, power cuts and full disks at random moments. After
//! each crash the state is that after a prefix of the calls that includes every acknowledged one.

use std::time::Duration;

use tidewal_testing::harness::Label;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{RaftLog, Vote, open, text};
use super::calls::{Caller, InFlight};
use super::state::state_of;
use crate::number;
use crate::story::{End, Seen, Story};
use crate::support::{DIR, options, run};

#[test]
fn random_calls_and_deaths() {
    let seeds = number("TIDEWAL_SEEDS", 600);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        five_lives(seed, &mut seen);
    }
    println!("{seeds} seeds: {seen:?}");
    assert!(seen.cuts > seeds / 2 && seen.kills > seeds / 4 && seen.full > seeds / 10);
    assert!(seen.truncated > seeds / 10);
    assert_eq!(
        seen.voids, 0,
        "something was recorded behind a refused record"
    );
}

/// Seed 22,870 of a long run: the process was killed before it had created the log's directory, and
/// its records could not be read.
#[test]
fn regression_a_process_that_is_killed_at_once_has_promised_nothing() {
    let mut seen = Seen::default();
    let mut story = Story::new(22_870);
    run(Life::of(&mut story).until(End::Kill(Duration::ZERO), &mut seen));
    assert!(story.disk.files(DIR).is_empty());
    run(story.look(&mut seen));
    five_lives(22_870, &mut seen);
}

fn five_lives(seed: u64, counts: &mut Seen) {
    let _label = Label(format!("seed {seed}"));
    let mut story = Story::new(seed);
    for _ in 0..5 {
        live(&mut story, counts);
    }
}

/// Lives once under this version: opens the log, checks its state, and works on it.
pub fn live(story: &mut Story, seen: &mut Seen) {
    let sync_time = Duration::from_micros(story.rng.roll(3) * 100);
    story.disk.set_sync_time(sync_time);
    let end = story.choose_end();
    run(Life::of(story).until(end, seen));
    story.restart(end, seen);
    run(story.look(seen));
}

/// A process that works on a log.
struct Life<'a> {
    story: &'a mut Story,
    in_flight: InFlight,
}

impl<'a> Life<'a> {
    fn of(story: &'a mut Story) -> Self {
        Self {
            story,
            in_flight: Vec::new(),
        }
    }

    async fn until(&mut self, end: End, seen: &mut Seen) {
        let limit = match end {
            End::Kill(after) => after,
            End::Peaceful | End::Cut(_) => Duration::from_secs(60),
        };
        let _ = tokio::time::timeout(limit, self.work(seen)).await;
    }

    async fn work(&mut self, seen: &mut Seen) {
        let Some(mut log) = self.open().await else {
            return;
        };
        if self.story.rng.once_in(3) {
            let room = self.story.used() + self.story.rng.roll(40_000);
            self.story.disk.set_quota(Some(room));
        }
        for _ in 0..self.story.rng.count(60) {
            let mut caller = Caller {
                log: &mut log,
                past: &mut self.story.past,
                rng: &mut self.story.rng,
                in_flight: &mut self.in_flight,
            };
            let outcome = caller.call(&mut seen.calls).await;
            let outcome = outcome.and(caller.settle(false).await);
            if let Err(error) = outcome {
                let is_full = text(&error).contains("the disk is full");
                assert!(is_full || self.story.disk.is_off(), "{error}");
                assert!(log.save_vote(&Vote::new(99, 1)).await.is_err());
                seen.full += u64::from(is_full);
                return;
            }
            assert_eq!(state_of(&mut log).await, self.story.past.now());
        }
    }

    async fn open(&mut self) -> Option<RaftLog> {
        // Small batches, so one can be refused and the next one appended.
        let options = options()
            .spare_segments(self.story.rng.count(2) - 1)
            .max_batch_records(self.story.rng.count(6));
        match open(options, &self.story.disk).await {
            Ok(mut log) => {
                self.story.past.recovered(state_of(&mut log).await);
                Some(log)
            }
            Err(error) => {
                assert!(self.story.disk.is_off(), "{error}");
                None
            }
        }
    }
}
