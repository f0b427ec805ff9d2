//! Counts of values in buckets.

use crate::stats::figures::Counter;

/// A histogram: counts in fixed buckets, the sum, and the largest value.
///
/// A value is in the first bucket whose bound it does not exceed. Quantiles are estimates: the
/// bucket is exact, the position in it is not.
///
/// # Examples
///
/// Over the last ten seconds, instead of since the log was opened:
///
/// ```
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let wal = tidewal::Wal::open(dir.path()).await?;
/// let before = wal.stats();
/// // ... ten seconds later
/// # wal.append("x").await?;
/// let lately = wal.stats().sync_nanos.since(&before.sync_nanos);
/// assert_eq!(lately.count(), 1);
/// println!("p50 {:?} ns, p99 {:?} ns", lately.quantile(0.5), lately.quantile(0.99));
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: [u64; BUCKETS],
    sum: u64,
    max: u64,
}

impl Histogram {
    /// The bounds of histograms of times, in nanoseconds: from 10 µs to 10 s, six in each power of
    /// ten.
    pub const TIME_BOUNDS: &'static [u64] = &TIME_BOUNDS;

    /// The bounds of histograms of sizes, in records or bytes: the powers of two up to 64 Mi.
    pub const SIZE_BOUNDS: &'static [u64] = &SIZE_BOUNDS;

    /// The largest value that each bucket holds, ascending. One more bucket, for everything larger,
    /// follows the last bound.
    #[must_use]
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// The number of values in each bucket. It has one element more than there are bounds.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts[..=self.bounds.len()]
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest value since the log was opened, or 0 if there was none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, rounded down, or `None` if there was no value.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count())
    }

    /// The value that a share `q` of all values, from 0 to 1, does not exceed, or `None` if there
    /// was no value.
    ///
    /// An estimate that is in the right bucket, and never above the largest value.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let wanted = rank(q, self.count())?;
        let mut below = 0;
        for (index, &count) in self.counts().iter().enumerate() {
            if below + count >= wanted {
                return Some(self.value_in(index, wanted - below, count));
            }
            below += count;
        }
        None
    }

    /// The values since `earlier`, an earlier copy of the same histogram. The largest value stays
    /// that of the log's whole life.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = *self;
        for (count, before) in later.counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        later.sum = later.sum.saturating_sub(earlier.sum);
        later
    }

    /// The value of the `rank`-th of `count` values in a bucket, assuming that they are spread
    /// evenly.
    fn value_in(&self, bucket: usize, rank: u64, count: u64) -> u64 {
        let lower = bucket.checked_sub(1).map_or(0, |below| self.bounds[below]);
        let upper = self.bounds.get(bucket).map_or(self.max, |&bound| bound);
        let width = u128::from(upper.saturating_sub(lower));
        let part = width * u128::from(rank) / u128::from(count.max(1));
        let value =
            lower + u64::try_from(part).expect("a part of a width fits where the width did");
        value.min(self.max)
    }
}

/// The rank of the value that a share `q` of `count` values does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the share is clamped, and beyond 2^53 values one more or less is nothing"
)]
fn rank(q: f64, count: u64) -> Option<u64> {
    let rank = (q.clamp(0.0, 1.0) * count as f64).ceil() as u64;
    (count > 0).then(|| rank.clamp(1, count))
}

/// The counts behind a [`Histogram`]. Only one thread changes them.
#[derive(Debug)]
pub(crate) struct Tally {
    bounds: &'static [u64],
    counts: [Counter; BUCKETS],
    sum: Counter,
    max: Counter,
}

impl Tally {
    /// For times in nanoseconds.
    pub(crate) fn of_times() -> Self {
        Self::new(Histogram::TIME_BOUNDS)
    }

    /// For numbers of records or bytes.
    pub(crate) fn of_sizes() -> Self {
        Self::new(Histogram::SIZE_BOUNDS)
    }

    fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: std::array::from_fn(|_| Counter::default()),
            sum: Counter::default(),
            max: Counter::default(),
        }
    }

    /// Counts a value that represents `weight` values.
    pub(crate) fn add(&self, value: u64, weight: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        self.counts[bucket].add(weight);
        self.sum.add(value.saturating_mul(weight));
        self.max.set(self.max.get().max(value));
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        Histogram {
            bounds: self.bounds,
            counts: std::array::from_fn(|index| self.counts[index].get()),
            sum: self.sum.get(),
            max: self.max.get(),
        }
    }
}

/// Room for the longer of the two lists of bounds, and for values above the last bound.
const BUCKETS: usize = TIME_BOUNDS.len() + 1;

const TIME_BOUNDS: [u64; 37] = time_bounds();
const SIZE_BOUNDS: [u64; 27] = size_bounds();

const fn time_bounds() -> [u64; 37] {
    let steps = [10, 15, 20, 30, 50, 70];
    let mut bounds = [0; 37];
    let (mut index, mut scale) = (0, 1_000);
    while index < bounds.len() {
        bounds[index] = steps[index % steps.len()] * scale;
        index += 1;
        if index.is_multiple_of(steps.len()) {
            scale *= 10;
        }
    }
    bounds
}

const fn size_bounds() -> [u64; 27] {
    let mut bounds = [0; 27];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = 1 << index;
        index += 1;
    }
    bounds
}

#[cfg(test)]
mod tests;
