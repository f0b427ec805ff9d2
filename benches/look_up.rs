//! What it costs to look a segment up by its name before each acknowledgement (`docs/durability.md`, "The
//! directory"), as a part of the write and sync before it.
//!
//!     cargo bench -p tidewal-benches --bench look_up
//!
//! Rounds with and without the look take turns, in a file that was written before. The look is also timed by
//! itself. `TIDEWAL_BENCH_DIR` says on which disk.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, statat};

const NAME: &str = "00000000000000000001.wal";
const LEN: usize = 4096;
const PLACES: u64 = 256;

fn main() {
    let root = std::env::var_os("TIDEWAL_BENCH_DIR");
    let root = root.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    let dir = tempfile::tempdir_in(root).expect("the directory for benches can be written");
    let file = prewritten(&dir.path().join(NAME));
    let directory = OwnedFd::from(File::open(dir.path()).expect("the directory is there"));
    // Cargo passes `--bench` if it wants figures, and nothing if it tests.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let rounds = if is_bench { 4000 } else { 10 };
    let (mut bare, mut with_look, mut look) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let began = Instant::now();
        write_and_sync(&file, round);
        bare.push(began.elapsed());
        let began = Instant::now();
        write_and_sync(&file, round + 1);
        let synced = Instant::now();
        statat(&directory, NAME, AtFlags::SYMLINK_NOFOLLOW).expect("the file is there");
        look.push(synced.elapsed());
        with_look.push(began.elapsed());
    }
    let (bare, with_look, look) = (median(bare), median(with_look), median(look));
    println!("write and fdatasync of {LEN} bytes: {bare:?}, median of {rounds}");
    println!("the same and a look: {with_look:?}");
    println!("the look alone: {look:?}");
    let part = look.as_secs_f64() / bare.as_secs_f64();
    println!("the look is {:.2} % of a write and sync", part * 100.0);
}

fn prewritten(path: &std::path::Path) -> File {
    let file = File::create_new(path).expect("there is room for a file");
    file.write_all_at(&vec![0; LEN * usize::try_from(PLACES).unwrap_or(1)], 0)
        .expect("there is room for its bytes");
    file.sync_all().expect("the disk works");
    file
}

fn write_and_sync(file: &File, round: u64) {
    let offset = round % PLACES * LEN as u64;
    file.write_all_at(&[1; LEN], offset)
        .expect("it was written before");
    file.sync_data().expect("the disk works");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
