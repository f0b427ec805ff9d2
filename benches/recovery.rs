//! Reading a log back, compared with the baseline: reading the same bytes of the same files and computing their
//! checksum.
//!
//! Two logs of the default segment size that were closed cleanly: 200,000 records of 100 B, and
//! 128 MiB in records of 64 KiB. The cache is warm, so this is about the processor: a service that
//! starts on a cold machine waits for its disk. Throughput is in records and in bytes of payload.
//!
//! `tidewal` opens the log, which syncs a directory, and reads the stream to its end. `bare` is the baseline:
//! reads of 1 MiB and a CRC-32 over them, up to where the records end. `TIDEWAL_BENCH_DIR` selects the disk.
//! The default is that of `target/`.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use criterion::{criterion_group, criterion_main, measurement::WallTime};
use tempfile::TempDir;
use tidewal::Wal;
use tidewal_benches::{KIB, MIB, is_test, scratch, size_name};
use tokio::runtime::Runtime;

criterion_group! {
    name = benches;
    config = tidewal_benches::criterion();
    targets = recovery
}
criterion_main!(benches);

fn recovery(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime can be made");
    for shape in SHAPES {
        let name = format!("recovery/{}", size_name(shape.payload_len));
        let mut group = criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(shape.throughput());
        measure(&mut group, &runtime, shape);
    }
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, shape: Shape) {
    let dir = scratch();
    runtime.block_on(write_log(dir.path(), shape));
    let extents = extents(&dir, shape);
    group.bench_function("bare", |bencher| {
        bencher.iter(|| read_bare(&extents));
    });
    group.bench_function("tidewal", |bencher| {
        bencher
            .to_async(runtime)
            .iter(|| recover(dir.path(), shape));
    });
}

/// The contents of a log.
#[derive(Clone, Copy)]
struct Shape {
    payload_len: usize,
    records: u64,
}

impl Shape {
    /// A hundredth is enough to show that it works.
    fn records(self) -> u64 {
        if is_test() {
            self.records / 100
        } else {
            self.records
        }
    }

    fn throughput(self) -> Throughput {
        let elements = self.records();
        Throughput::ElementsAndBytes {
            elements,
            bytes: elements * self.payload_len as u64,
        }
    }

    fn record_len(self) -> u64 {
        (FRAME_HEADER_LEN + self.payload_len) as u64
    }
}

/// Records one by one, as a service writes them, and not as one atomic batch.
async fn write_log(dir: &Path, shape: Shape) {
    let wal = Wal::open(dir).await.expect("an empty directory opens");
    let payload = Bytes::from(vec![0x5a; shape.payload_len]);
    for _ in 0..shape.records() {
        // The answer is not needed, because closing makes the record durable.
        drop(
            wal.submit(payload.clone())
                .await
                .expect("the queue takes it"),
        );
    }
    wal.close().await.expect("the log closes");
}

async fn recover(dir: &Path, shape: Shape) -> u64 {
    let mut recovery = Wal::recover(dir).await.expect("the log opens");
    let mut records = 0;
    while let Some(record) = recovery.try_next().await.expect("the log is sound") {
        black_box(&record.payload);
        records += 1;
    }
    assert_eq!(records, shape.records());
    records
}

/// The used part of a segment file.
struct Extent {
    path: PathBuf,
    len: u64,
}

/// Where the records end in each segment, from its name and that of the next one.
fn extents(dir: &TempDir, shape: Shape) -> Vec<Extent> {
    let mut bases = segment_bases(dir.path());
    bases.push(shape.records() + 1);
    let extent = |pair: &[u64]| Extent {
        path: dir.path().join(format!("{:020}.wal", pair[0])),
        len: SEGMENT_HEADER_LEN + (pair[1] - pair[0]) * shape.record_len(),
    };
    bases.windows(2).map(extent).collect()
}

fn segment_bases(dir: &Path) -> Vec<u64> {
    let files = std::fs::read_dir(dir).expect("the directory can be listed");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut bases: Vec<u64> = names
        .filter_map(|name| name.strip_suffix(".wal")?.parse().ok())
        .collect();
    bases.sort_unstable();
    bases
}

fn read_bare(extents: &[Extent]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; MIB];
    for Extent { path, len } in extents {
        let mut file = File::open(path).expect("the segment opens").take(*len);
        while let Some(len) = read_piece(&mut file, &mut piece) {
            hasher.update(&piece[..len]);
        }
    }
    hasher.finalize()
}

fn read_piece(file: &mut impl Read, piece: &mut [u8]) -> Option<usize> {
    let len = file.read(piece).expect("the segment can be read");
    (len > 0).then_some(len)
}

const SHAPES: [Shape; 2] = [
    Shape {
        payload_len: 100,
        records: 200_000,
    },
    Shape {
        payload_len: 64 * KIB,
        records: (128 * MIB / (64 * KIB)) as u64,
    },
];

/// `docs/format.md`: the bytes before the first record of a segment, and before each payload.
const SEGMENT_HEADER_LEN: u64 = 4096;
const FRAME_HEADER_LEN: usize = 20;
