//! S8: what a rotation costs the callers that wait for it.

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
    // A group commit answers a thousand appends at once, so the slowest thousandth of the appends
    // come from every thousandth commit. It takes many commits to measure these.
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

/// A log that never rotates while it is measured.
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

    /// Measures a slice in several parts, and rotates between them.
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
            // Waits, so the writes of the rotation do not disturb the measurement.
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

/// The number of records that fit into a segment after a filler.
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
/// Truncated all the time, so the next segment is a recycled one.
const RECYCLING: &str = "every 4 MiB, recycled";
/// Never truncated, so each segment is a new file, preallocated in the background.
const GROWING: &str = "every 4 MiB, new files";

const SHORTEST_PART: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_millis(50);
