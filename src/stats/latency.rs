//! How long appends take, at a price that a busy log can pay.
//!
//! Reading the clock costs some tens of nanoseconds, an append of a busy log a few hundred. So while
//! batches are small every append is timed; of larger batches each thread times one in so many, and
//! that one counts as many times. Which ones is decided without anything that threads share but a
//! number that the writer changes when the size of the batches does.

use std::cell::Cell;
use std::time::Instant;

use crate::small_deque::SmallDeque;

/// Of how many appends one is timed after a batch of so many: as the power of two.
///
/// It falls one step at a time, because a small batch often comes between two large ones.
pub(super) fn period_after(period: u32, batch_appends: u64) -> u32 {
    period_for(batch_appends).max(period.saturating_sub(1))
}

fn period_for(batch_appends: u64) -> u32 {
    (batch_appends / SAMPLES).max(1).ilog2()
}

/// Decides about the next append of this thread: how many it stands for, 0 if it is not timed.
///
/// The steps of the golden ratio come about evenly, and do not keep step with a service that submits
/// its records in a pattern.
pub(super) fn weight_of_next(period: u32) -> u32 {
    let place = PLACE.get().wrapping_add(GOLDEN_RATIO);
    PLACE.set(place);
    let is_timed = u64::from(place) >> (32 - period) == 0;
    if is_timed { 1 << period } else { 0 }
}

thread_local! {
    static PLACE: Cell<u32> = const { Cell::new(0) };
}

/// Of 2^32.
const GOLDEN_RATIO: u32 = 0x9e37_79b9;

/// How many appends of a large batch are timed, at least and about.
const SAMPLES: u64 = 4;

/// When appends that wait for their answers were submitted: those of them that are timed.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    samples: SmallDeque<Sample>,
    /// One sample in so many is kept, as the power of two.
    thinning: u32,
    /// How many were not, since the last one that was.
    passed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    submitted: Instant,
    weight: u64,
}

impl Latencies {
    /// Notes an append, if it is one that is timed.
    pub(crate) fn note(&mut self, submitted: Option<Instant>, weight: u32) {
        if let Some(submitted) = submitted
            && weight > 0
        {
            let weight = u64::from(weight);
            self.push(Sample { submitted, weight });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    pub(crate) fn absorb(&mut self, others: Self) {
        if self.samples.is_empty() {
            *self = others;
        } else {
            let samples = others.samples.into_iter();
            samples.for_each(|sample| self.push(sample));
        }
    }

    /// However late the sync comes, the list stays short: when it is full each second one goes, the
    /// others count twice, and so do those that come later, of which each second one is kept.
    fn push(&mut self, sample: Sample) {
        self.passed += 1;
        if self.passed >> self.thinning == 0 {
            return;
        }
        self.passed = 0;
        if self.samples.len() >= SAMPLES_MAX {
            self.thin_out();
        }
        let weight = sample.weight << self.thinning;
        self.samples.push(Sample { weight, ..sample });
    }

    fn thin_out(&mut self) {
        let mut index = 0;
        self.samples.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        self.samples.iter_mut().for_each(|kept| kept.weight *= 2);
        self.thinning += 1;
    }

    /// How long each has taken until `now`, in nanoseconds, and how many it stands for.
    pub(super) fn until(&self, now: Instant) -> impl Iterator<Item = (u64, u64)> {
        self.samples.iter().map(move |sample| {
            let taken = now.saturating_duration_since(sample.submitted).as_nanos();
            (u64::try_from(taken).unwrap_or(u64::MAX), sample.weight)
        })
    }
}

const SAMPLES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
