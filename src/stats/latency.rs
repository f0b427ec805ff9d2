//! How long appends take, measured cheaply enough for a busy log.
//!
//! Reading the clock costs some tens of nanoseconds, an append of a busy log a few hundred. While batches are
//! small, every append is timed. In larger batches, each thread times one append in every 2, 4, 8 and so on,
//! which then counts as that many appends. Threads share only one number for this, which the writer changes
//! when the batch size changes.

use std::cell::Cell;
use std::time::Instant;

use crate::small_deque::SmallDeque;

/// The next period after a batch of `batch_appends` appends. One append in 2^period is timed.
///
/// It falls one step at a time, because a small batch often comes between two large ones.
pub(super) fn period_after(period: u32, batch_appends: u64) -> u32 {
    period_for(batch_appends).max(period.saturating_sub(1))
}

fn period_for(batch_appends: u64) -> u32 {
    (batch_appends / SAMPLES).max(1).ilog2()
}

/// How many appends the next append of this thread represents, or 0 if it is not timed.
///
/// Steps of the golden ratio are spread about evenly and do not align with a service that submits
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

/// The golden ratio, as a fraction of 2^32.
const GOLDEN_RATIO: u32 = 0x9e37_79b9;

/// About how many appends of a large batch are timed, at the least.
const SAMPLES: u64 = 4;

/// The submission times of the timed appends that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    samples: SmallDeque<Sample>,
    /// One sample in 2^`thinning` is kept.
    thinning: u32,
    /// How many samples were skipped since the last one that was kept.
    passed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    submitted: Instant,
    weight: u64,
}

impl Latencies {
    /// Records an append, if it is timed.
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

    /// The list stays short however late the sync comes. When it is full, every second sample is
    /// dropped and the others count twice. Of later samples, every second one is kept and counts
    /// twice too.
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

    /// How long each sample has taken until `now`, in nanoseconds, and how many appends it
    /// represents.
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
