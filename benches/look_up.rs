//! The cost of looking up a segment by its name before each acknowledgment (`docs/durability.md`, "How a record
//! becomes durable").
//!
//!     cargo bench -p tidewal-benches --bench look_up
//!
//! Three loops alternate, in a file that was written before: a write and a sync, the same with the look-up of
//! the log, and the same with a look-up that also reads the file's times. Each slice has many syncs, because a
//! look-up may change what the *next* sync has to write. `TIDEWAL_BENCH_DIR` selects the disk.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags, statat, statx};

const NAME: &str = "00000000000000000001.wal";
const LEN: usize = 4096;
const PLACES: u64 = 256;
const SYNCS: u64 = 200;

type LookUp = fn(BorrowedFd<'_>);

const LOOK_UPS: [(&str, LookUp); 3] = [
    ("no look-up", |_| {}),
    ("number and length", |dir| {
        let wanted = StatxFlags::INO | StatxFlags::SIZE;
        let found = statx(dir, NAME, AtFlags::SYMLINK_NOFOLLOW, wanted);
        found.expect("the file is there");
    }),
    ("with times", |dir| {
        statat(dir, NAME, AtFlags::SYMLINK_NOFOLLOW).expect("the file is there");
    }),
];

fn main() {
    let root = std::env::var_os("TIDEWAL_BENCH_DIR");
    let root = root.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    let dir = tempfile::tempdir_in(root).expect("the directory for benches can be written");
    let file = prewritten(&dir.path().join(NAME));
    let directory = OwnedFd::from(File::open(dir.path()).expect("the directory is there"));
    // Cargo passes `--bench` to measure, and nothing to test.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let rounds = if is_bench { 21 } else { 1 };
    let mut turns = [const { Vec::new() }; LOOK_UPS.len()];
    for round in 0..rounds {
        for turn in 0..LOOK_UPS.len() {
            let index = (round + turn) % LOOK_UPS.len();
            turns[index].push(run(&file, directory.as_fd(), LOOK_UPS[index].1));
        }
    }
    println!("a write and fdatasync of {LEN} bytes, medians of {rounds} turns of {SYNCS}");
    for ((name, _), times) in LOOK_UPS.iter().zip(&turns) {
        let ratios = times.iter().zip(&turns[0]);
        let ratios = ratios.map(|(time, bare)| time.as_secs_f64() / bare.as_secs_f64());
        let mut ratios: Vec<_> = ratios.collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let (time, ratio) = (median(times.clone()), ratios[ratios.len() / 2]);
        println!("{name}: {time:?}, {ratio:.2} x ({least:.2}..{most:.2})");
    }
}

fn prewritten(path: &std::path::Path) -> File {
    let file = File::create_new(path).expect("there is room for a file");
    file.write_all_at(&vec![0; LEN * usize::try_from(PLACES).unwrap_or(1)], 0)
        .expect("there is room for its bytes");
    file.sync_all().expect("the disk works");
    file
}

/// The median time of a sync and its look-up.
fn run(file: &File, dir: BorrowedFd<'_>, look_up: LookUp) -> Duration {
    let times = (0..SYNCS).map(|number| {
        let began = Instant::now();
        file.write_all_at(&[1; LEN], number % PLACES * LEN as u64)
            .expect("it was written before");
        file.sync_data().expect("the disk works");
        look_up(dir);
        began.elapsed()
    });
    median(times.collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
