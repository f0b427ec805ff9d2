//! S8: what the end of a segment costs those who wait at it.

use std::time::Duration;

use super::SEGMENT_HEADER;
use crate::measure::comparison::{Comparison, Runs};
use crate::measure::context::BenchContext;
use crate::measure::figures::Target::AtMost;
use crate::measure::figures::{Outcome, Unit};
use crate::measure::load::Load;
use crate::measure::log::{FILLER_LEN, Log, Shape};
use crate::measure::scratch::MIB;
use crate::measure::slice::Slice;
use crate::measure::{FRAME_HEADER, SMALL, SMALL_RECORD};

pub fn run(context: &BenchContext) -> Outcome {
    let small = Shape {
        segment_len: 4 * MIB,
        ..Shape::DEFAULT
    };
    let mut calm = Calm::open(context);
    let recycling = context.log(small);
    let growing = context.log(small);
    let load = Load::new(context.producers(1024), SMALL);
    let without_truncation = Load {
        truncates: false,
        ..load.clone()
    };
    // A group commit answers a thousand at once, so that a thousandth of all appends are those of
    // every thousandth commit: it takes many commits to say how long those are.
    let time = context.slice * 4;
    let runs = Comparison::new(context)
        .enter(CALM, || calm.run(&load, time))
        .enter_log_for(RECYCLING, Some(&recycling), load.clone(), time)
        .enter_log_for(GROWING, Some(&growing), without_truncation, time)
        .run();
    [calm.log, recycling, growing]
        .into_iter()
        .for_each(|log| log.close(&context.runtime));
    judge(&runs)
}

/// A log that is never at the end of a segment while it is measured.
struct Calm<'a> {
    context: &'a BenchContext,
    log: Log,
    /// Records that its open segment still has room for.
    room: usize,
}

impl<'a> Calm<'a> {
    fn open(context: &'a BenchContext) -> Self {
        let log = context.log(Shape::DEFAULT);
        let room = room_of(&log);
        Self { context, log, room }
    }

    /// A slice in several parts, between which the log moves on.
    fn run(&mut self, load: &Load, time: Duration) -> Slice {
        let mut slice = self.run_part(load, time);
        while let Some(left) = time.checked_sub(slice.elapsed + SHORTEST_PART) {
            slice.add(&self.run_part(load, left + SHORTEST_PART));
        }
        slice
    }

    fn run_part(&mut self, load: &Load, time: Duration) -> Slice {
        if self.room < room_of(&self.log) / 4 {
            self.log.move_on(&self.context.runtime);
            self.room = room_of(&self.log);
            // What that has written shall not be in the way.
            std::thread::sleep(REST);
        }
        let load = Load {
            most: (self.room / load.producers) as u64,
            ..load.clone()
        };
        let part = self.log.run(&self.context.runtime, &load, time);
        assert_eq!(part.work.segments, 0, "there was room for all");
        self.room -= usize::try_from(part.count).expect("it had room");
        part
    }
}

/// Records that a segment has room for behind a filler.
fn room_of(log: &Log) -> usize {
    (log.segment_len - SEGMENT_HEADER - FRAME_HEADER - FILLER_LEN) / SMALL_RECORD
}

fn judge(runs: &Runs) -> Outcome {
    let mut outcome = Outcome::default();
    for name in [RECYCLING, GROWING] {
        if runs
            .of(name)
            .is_some_and(|slices| slices.iter().any(|slice| slice.work.segments == 0))
        {
            outcome.note(format!(
                "{name}: a slice without any rotation; take longer ones"
            ));
        }
        let by_calm = |log: &Slice, calm: &Slice| log.p999() / calm.p999();
        outcome.aim(
            format!("{name}: p99.9 relative to no rotation"),
            Unit::Ratio,
            runs.ratio(name, CALM, by_calm),
            AtMost(3.0),
        );
    }
    for name in [CALM, RECYCLING, GROWING] {
        for (share, label) in [
            (0.5, "p50"),
            (0.99, "p99"),
            (0.999, "p99.9"),
            (1.0, "longest"),
        ] {
            let each = runs.each(name, |slice| slice.wait(share));
            outcome.show(format!("{name}: {label}"), Unit::Time, each);
        }
        outcome.show(
            format!("{name}: appends/s"),
            Unit::PerSecond,
            runs.each(name, Slice::rate),
        );
        outcome.show(
            format!("{name}: rotations/s"),
            Unit::PerSecond,
            runs.each(name, |slice| {
                slice.work.segments as f64 / slice.elapsed.as_secs_f64()
            }),
        );
    }
    outcome
}

const CALM: &str = "without rotation";
/// Truncated as it goes, so that the next segment is an old one.
const RECYCLING: &str = "every 4 MiB, recycled";
/// Never truncated, so that each segment is a new file, written ahead in the background.
const GROWING: &str = "every 4 MiB, new files";

const SHORTEST_PART: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_millis(50);
