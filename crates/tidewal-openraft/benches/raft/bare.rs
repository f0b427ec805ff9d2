//! The disk without a log: writes of one command into a preallocated file, each with a sync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The median time of a write and sync in microseconds.
pub fn median_sync(dir: &Path, size: usize, time: Duration) -> f64 {
    let file = File::create(dir.join("bare")).expect("the directory can be written");
    let block = vec![0; 1024 * 1024];
    for offset in 0..16 {
        let written = file.write_all_at(&block, offset * 1024 * 1024);
        written.expect("there is room");
    }
    file.sync_all().expect("the disk works");
    let until = Instant::now() + time;
    let mut times = Vec::new();
    let mut offset = 0;
    while Instant::now() < until || times.is_empty() {
        let started = Instant::now();
        let written = file.write_all_at(&vec![7; size], offset);
        written.expect("there is room");
        file.sync_data().expect("the disk works");
        times.push(started.elapsed());
        offset = (offset + size as u64) % (15 * 1024 * 1024);
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
