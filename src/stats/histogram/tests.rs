//! Histograms whose figures can be calculated by hand.

use super::*;

fn of(values: &[u64]) -> Histogram {
    let tally = Tally::of_times();
    values.iter().for_each(|&value| tally.add(value, 1));
    tally.snapshot()
}

const US: u64 = 1000;

#[test]
fn bounds_ascend_from_ten_microseconds_to_ten_seconds() {
    assert!(Histogram::TIME_BOUNDS.is_sorted_by(|a, b| a < b));
    assert_eq!(
        Histogram::TIME_BOUNDS[..4],
        [10 * US, 15 * US, 20 * US, 30 * US]
    );
    assert_eq!(Histogram::TIME_BOUNDS.last(), Some(&10_000_000_000));
    assert_eq!(Histogram::SIZE_BOUNDS.first(), Some(&1));
    assert_eq!(Histogram::SIZE_BOUNDS.last(), Some(&(64 << 20)));
}

#[test]
fn a_bound_belongs_to_its_bucket() {
    let histogram = of(&[0, 10 * US, 10 * US + 1, 15 * US]);
    assert_eq!(histogram.counts()[..3], [2, 2, 0]);
    assert_eq!((histogram.count(), histogram.sum()), (4, 35 * US + 1));
}

#[test]
fn what_exceeds_all_bounds_has_the_last_bucket() {
    let histogram = of(&[u64::MAX / 2, 60_000_000_000]);
    assert_eq!(histogram.counts().last(), Some(&2));
    assert_eq!(histogram.counts().len(), histogram.bounds().len() + 1);
    assert_eq!(histogram.max(), u64::MAX / 2);
    assert_eq!(histogram.quantile(1.0), Some(u64::MAX / 2));
}

#[test]
fn quantiles_lie_in_their_bucket_and_not_above_the_largest_value() {
    let histogram = of(&[12 * US, 12 * US, 12 * US, 60 * US]);
    let half = histogram.quantile(0.5).unwrap();
    assert!((10 * US..=15 * US).contains(&half), "{half}");
    assert_eq!(histogram.quantile(0.99), Some(60 * US));
    assert_eq!(histogram.quantile(7.0), Some(60 * US));
    assert!(histogram.quantile(f64::NAN).unwrap() <= 15 * US);
    assert_eq!(histogram.mean(), Some(24 * US));
}

#[test]
fn without_values_there_is_no_quantile() {
    assert_eq!(of(&[]).quantile(0.5), None);
    assert_eq!(of(&[]).mean(), None);
}

#[test]
fn a_difference_holds_what_came_between() {
    let tally = Tally::of_times();
    tally.add(12 * US, 3);
    let before = tally.snapshot();
    tally.add(60 * US, 2);
    let lately = tally.snapshot().since(&before);
    assert_eq!((lately.count(), lately.sum()), (2, 120 * US));
    assert_eq!(lately.quantile(0.0), Some(60 * US));
}
