//! Futures that are polled once and kept. No other caller waits for them.

use std::pin::Pin;

use futures::future::join_all;
use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal};
use tokio_test::task;

use crate::harness::note_trial;
use crate::support::{DIR, options, run};

/// Any subset of eight futures is kept behind a full queue while the log closes. The others
/// complete.
pub fn no_one_waits_for_a_kept_future() {
    for seed in 0..256 {
        note_trial();
        run(close_with_kept_futures(seed));
    }
}

async fn close_with_kept_futures(seed: u64) {
    let disk = SimDisk::new(seed);
    disk.set_sync_time(std::time::Duration::from_millis(2));
    let records = 1 + usize::try_from(seed % 3).unwrap();
    let options = options().queue_records(records);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    let other = wal.clone();
    let futures = (0..8).map(|kind| task::spawn(call(&other, kind)));
    let mut waiting: Vec<_> = futures.enumerate().collect();
    waiting.retain_mut(|(_, future)| future.poll().is_pending());
    wal.close().await.unwrap();
    // They are polled only because they were woken.
    for (kind, future) in &waiting {
        assert!(future.is_woken(), "{kind} waits for a closed log");
    }
    let is_kept = |kind: &usize| seed & (1 << kind) != 0;
    let (kept, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(kind, _)| is_kept(kind));
    join_all(others.into_iter().map(|(_, future)| future)).await;
    drop(kept);
}

fn call(wal: &Wal, kind: usize) -> Pin<Box<dyn Future<Output = ()> + '_>> {
    Box::pin(async move {
        match kind {
            6 => drop(wal.sync().await),
            7 => drop(wal.truncate_before(Lsn::FIRST).await),
            3 => drop(wal.append_batch(["a", "batch"]).await),
            kind => drop(wal.append(vec![0; kind * 100]).await),
        }
    })
}
