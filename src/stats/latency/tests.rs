//! The timed appends represent all appends.

use std::thread;

use super::*;

#[test]
fn appends_of_small_batches_are_all_timed() {
    assert!((0..8).all(|records| period_for(records) == 0));
    assert!((0..1000).all(|_| weight_of_next(0) == 1));
}

#[test]
fn a_large_batch_has_four_to_eight_that_are_timed() {
    for records in 8..100_000 {
        let timed = records >> period_for(records);
        assert!((4..8).contains(&timed), "{timed} of {records}");
    }
}

#[test]
fn a_small_batch_between_large_ones_changes_little() {
    assert_eq!(period_after(0, 1024), 8);
    assert_eq!(period_after(8, 1), 7);
    assert_eq!(period_after(7, 1024), 8);
    assert_eq!((0..8).fold(8, |period, _| period_after(period, 1)), 0);
}

/// For any run of appends, and for every second or third of them alone.
#[test]
fn the_weights_add_up_to_the_number_of_appends() {
    for (period, stride) in [(1, 1), (4, 1), (4, 2), (4, 3), (6, 2), (8, 1), (8, 8)] {
        let total = 64 << period;
        let counted: u64 = thread::spawn(move || {
            let all = (0..total * stride).map(|_| u64::from(weight_of_next(period)));
            all.step_by(usize::try_from(stride).unwrap()).sum()
        })
        .join()
        .unwrap();
        let off = counted.abs_diff(total);
        assert!(
            off * 10 <= total,
            "one in 2^{period}, each {stride}th: {counted} for {total}"
        );
    }
}

#[test]
fn the_list_stays_short_and_its_weight_stays_right() {
    let (start, mut latencies) = (Instant::now(), Latencies::default());
    for _ in 0..1_000_000 {
        latencies.note(Some(start), 3);
        latencies.note(Some(start), 0);
        latencies.note(None, 3);
    }
    assert!(latencies.samples.len() <= SAMPLES_MAX);
    let total: u64 = latencies.until(start).map(|(_, weight)| weight).sum();
    assert!(total.abs_diff(3_000_000) <= 30_000, "{total}");
}
