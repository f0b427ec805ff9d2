//! Ten gigabytes through a log whose low-water mark moves: memory and disk use stay flat (promise P7).
//!
//! It takes minutes and writes gigabytes, so it runs only on request:
//!
//!     cargo test --release --test endurance -- --ignored --nocapture

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use tidewal::{Lsn, Wal};

const TOTAL: u64 = 10 * 1024 * 1024 * 1024;
const PAYLOAD: usize = 64 * 1024;
const PRODUCERS: u64 = 16;
/// What the log keeps, in records: 256 MiB.
const KEPT: u64 = 4096;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn memory_and_disk_use_stay_flat() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let wal = Wal::open(dir.path()).await.unwrap();
    let peak = Arc::new(Peak::default());
    let producers = (0..PRODUCERS).map(|number| {
        tokio::spawn(produce(
            wal.clone(),
            number,
            dir.path().to_owned(),
            peak.clone(),
        ))
    });
    for joined in join_all(producers).await {
        joined.unwrap();
    }
    let stats = wal.stats();
    wal.close().await.unwrap();
    let (memory, disk) = (
        peak.memory.load(Ordering::Relaxed),
        peak.disk.load(Ordering::Relaxed),
    );
    println!(
        "{} records, {} syncs, {} bytes",
        stats.records, stats.syncs, stats.written_bytes
    );
    println!(
        "peak of resident memory {} MiB, of the directory {} MiB",
        memory >> 20,
        disk >> 20
    );
    assert!(memory < 200 << 20, "resident memory grew to {memory} bytes");
    assert!(disk < 768 << 20, "the directory grew to {disk} bytes");
}

async fn produce(wal: Wal, number: u64, dir: std::path::PathBuf, peak: Arc<Peak>) {
    let payload = bytes::Bytes::from(vec![number.to_le_bytes()[0]; PAYLOAD]);
    for round in 0..TOTAL / PAYLOAD as u64 / PRODUCERS {
        let lsn = wal.append(payload.clone()).await.unwrap();
        if number == 0 && round % 64 == 0 {
            wal.truncate_before(Lsn::new(lsn.get().saturating_sub(KEPT)))
                .await
                .unwrap();
            peak.note(&dir);
        }
    }
}

#[derive(Default)]
struct Peak {
    memory: AtomicU64,
    disk: AtomicU64,
}

impl Peak {
    fn note(&self, dir: &Path) {
        self.memory.fetch_max(resident_bytes(), Ordering::Relaxed);
        let files = std::fs::read_dir(dir).unwrap();
        let disk = files
            .map(|file| file.unwrap().metadata().map_or(0, |data| data.len()))
            .sum();
        self.disk.fetch_max(disk, Ordering::Relaxed);
    }
}

/// The resident memory of this process, or 0 if the system does not report it.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
