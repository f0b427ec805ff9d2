//! The interval of [`SyncPolicy::Interval`] is a maximum, counted from a batch's first record.

use std::time::Duration;

use tidewal::SyncPolicy;
use tidewal::sim::SimDisk;
use tokio::time::Instant;

use crate::harness::note_trial;
use crate::support::{DIR, options, run};

/// Appends arrive continuously, and the first one waits no longer than the interval.
pub fn no_append_waits_longer_than_the_interval() {
    for millis in [2, 10, 50] {
        note_trial();
        let interval = Duration::from_millis(millis);
        run(async {
            let options = options().sync_policy(SyncPolicy::Interval(interval));
            let wal = options.open_on(&SimDisk::new(millis), DIR).await.unwrap();
            let started = Instant::now();
            let mut first = tokio_test::task::spawn(wal.append("first"));
            while first.poll().is_pending() {
                assert!(
                    started.elapsed() <= interval,
                    "the window of {interval:?} was restarted"
                );
                drop(wal.submit("later").await.unwrap());
                tokio::time::sleep(interval / 5).await;
            }
        });
    }
}
