//! S7: reading a log back, compared with a bare reader of the same files: one thread that checks
//! each record.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use tidewal::Wal;

use super::{ON_DISK, SEGMENT_HEADER};
use crate::measure::comparison::{Comparison, Runs};
use crate::measure::context::{BenchContext, ROUND_STEPS};
use crate::measure::figures::Target::AtLeast;
use crate::measure::figures::{Outcome, Unit};
use crate::measure::report::thousands;
use crate::measure::scratch::{KIB, MIB, size_name};
use crate::measure::slice::Slice;
use crate::measure::{FRAME_HEADER, SMALL};

pub fn run(context: &BenchContext) -> Outcome {
    let mut outcome = Outcome::default();
    let small = Shape {
        payload_len: SMALL,
        records: context.scale.or_in_test(2_000_000, 20_000),
    };
    let runs = measure(context, small);
    outcome.aim(
        format!("{}: records/s", small.name()),
        Unit::PerSecond,
        runs.each(ON_DISK, Slice::rate),
        AtLeast(25e6),
    );
    outcome.aim(
        small.by_bare(),
        Unit::Ratio,
        runs.ratio(ON_DISK, BARE, bandwidth_ratio),
        AtLeast(0.75),
    );
    show_both(&mut outcome, small, &runs);

    let large = Shape {
        payload_len: 64 * KIB,
        records: context.scale.or_in_test(16 * 1024, 64),
    };
    // A second comparison, which the progress bar does not include.
    context
        .progress
        .inc_length(context.rounds as u64 * ROUND_STEPS);
    let runs = measure(context, large);
    outcome.aim(
        large.by_bare(),
        Unit::Ratio,
        runs.ratio(ON_DISK, BARE, bandwidth_ratio),
        AtLeast(0.8),
    );
    show_both(&mut outcome, large, &runs);
    outcome
}

fn bandwidth_ratio(log: &Slice, bare: &Slice) -> f64 {
    log.bandwidth() / bare.bandwidth()
}

fn show_both(outcome: &mut Outcome, shape: Shape, runs: &Runs) {
    for name in [BARE, ON_DISK] {
        outcome.show(
            format!("{}, {name}: bandwidth", shape.name()),
            Unit::BytesPerSecond,
            runs.each(name, Slice::bandwidth),
        );
    }
}

fn measure(context: &BenchContext, shape: Shape) -> Runs {
    let dir = context.scratch();
    context.runtime.block_on(write_log(dir.path(), shape));
    let extents = extents(dir.path(), shape);
    let recover = || context.runtime.block_on(recover(dir.path(), shape));
    // Warms up the cache and both methods.
    read_bare(&extents, shape);
    recover();
    Comparison::new(context)
        .enter(BARE, || read_bare(&extents, shape))
        .enter(ON_DISK, recover)
        .run()
}

/// The contents of a log.
#[derive(Clone, Copy)]
struct Shape {
    payload_len: usize,
    records: u64,
}

impl Shape {
    fn name(self) -> String {
        let size = size_name(self.payload_len);
        format!("{} x {size}", thousands(self.records))
    }

    fn by_bare(self) -> String {
        format!("{}: bandwidth relative to {BARE}", self.name())
    }

    fn slice(self, since: Instant) -> Slice {
        let bytes = self.records * self.payload_len as u64;
        Slice::new(self.records, bytes, since.elapsed(), &[])
    }
}

/// Records one by one, as a service writes them, and not as one atomic batch.
async fn write_log(dir: &Path, shape: Shape) {
    let wal = Wal::open(dir).await.expect("an empty directory opens");
    let payload = Bytes::from(vec![0x5a; shape.payload_len]);
    for _ in 0..shape.records {
        let submitted = wal.submit(payload.clone()).await;
        // The answer is not needed, because closing makes the record durable.
        drop(submitted.expect("the queue takes it"));
    }
    wal.close().await.expect("the log closes");
}

async fn recover(dir: &Path, shape: Shape) -> Slice {
    let start = Instant::now();
    let mut recovery = Wal::recover(dir).await.expect("the log opens");
    let mut records = 0;
    while let Some(record) = recovery.try_next().await.expect("the log is sound") {
        black_box(&record.payload);
        records += 1;
    }
    let slice = shape.slice(start);
    assert_eq!(records, shape.records, "all records are there");
    slice
}

/// The used part of a segment file.
struct Extent {
    path: PathBuf,
    len: u64,
}

/// Where the records end in each segment, from its name and that of the next one.
fn extents(dir: &Path, shape: Shape) -> Vec<Extent> {
    let mut bases = segment_bases(dir);
    bases.push(shape.records + 1);
    let record_len = (FRAME_HEADER + shape.payload_len) as u64;
    let extent = |pair: &[u64]| Extent {
        path: dir.join(format!("{:020}.wal", pair[0])),
        len: SEGMENT_HEADER as u64 + (pair[1] - pair[0]) * record_len,
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

/// The minimal work of reading: reads of 1 MiB, the step from record to record, and the checksum of each.
fn read_bare(extents: &[Extent], shape: Shape) -> Slice {
    let start = Instant::now();
    let mut piece = vec![0; MIB];
    let mut records = 0;
    for Extent { path, len } in extents {
        let mut file = File::open(path).expect("the segment opens");
        let mut at = SEGMENT_HEADER as u64;
        while at < *len {
            let wanted = usize::try_from(len - at).map_or(MIB, |left| left.min(MIB));
            file.seek(SeekFrom::Start(at)).expect("the segment seeks");
            let read = file.read_exact(&mut piece[..wanted]);
            read.expect("the segment can be read");
            let (passed, bytes) = pass_records(&piece[..wanted]);
            records += passed;
            at += bytes as u64;
        }
    }
    assert_eq!(records, shape.records, "all records are there");
    shape.slice(start)
}

/// The number of complete records with valid checksums, and their bytes. The lengths are read from the file,
/// as a log has to.
fn pass_records(bytes: &[u8]) -> (u64, usize) {
    let (mut records, mut rest) = (0, bytes);
    while let Some((header, behind)) = rest.split_first_chunk::<FRAME_HEADER>() {
        let len = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
        let Some((payload, behind)) = behind.split_at_checked(len as usize) else {
            break;
        };
        let crc = crc32fast::hash(black_box(payload)).to_le_bytes();
        assert_eq!(header[4..8], crc, "the record is sound");
        records += 1;
        rest = behind;
    }
    (records, bytes.len() - rest.len())
}

const BARE: &str = "a bare reader";
