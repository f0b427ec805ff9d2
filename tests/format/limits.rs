//! Memory and time are bounded by the size of the files, whatever their contents are.

use allocation_counter::measure;
use tidewal::sim::SimDisk;
use tidewal::tools::{Depth, LogDir, Observer, Survey};
use tidewal::{Record, Wal};

use crate::cases::format::{DATA_AT, Frame, LAG_UNKNOWN, PART, RECORD, SEAL, crc32};
use crate::craft::{Read, Segment, disk_with, survey};
use crate::support::{DIR, run};

const MIB: usize = 1024 * 1024;

/// The peak memory of reading it, if records are dropped at once.
fn peak(disk: &SimDisk, expected: u64) -> u64 {
    let mut count = 0;
    let info = measure(|| {
        count = run(async {
            let mut reader = Wal::options().read_on(disk, DIR).await.unwrap();
            let mut count = 0;
            while let Ok(Some(_)) = reader.try_next().await {
                count += 1;
            }
            count
        });
    });
    assert_eq!(count, expected);
    info.bytes_max
}

fn peak_of_a_survey(disk: &SimDisk) -> u64 {
    measure(|| drop(survey(disk))).bytes_max
}

/// The check of its header holds, and only zeros follow.
#[test]
fn a_forged_length_takes_no_memory() {
    for kind in [RECORD, PART] {
        let mut segment = Segment::new(1, 64 * MIB).record(b"a");
        let forged = Frame {
            lsn: 2,
            payload_sum: 1,
            len: 60 * 1024 * 1024,
            kind,
            lag: 1,
        };
        segment.put(&forged, b"");
        let disk = disk_with(&[segment.state(Frame::statement(SEAL, 2))]);
        assert!(peak(&disk, 1) < 4 * MIB as u64);
        assert!(peak_of_a_survey(&disk) < 4 * MIB as u64);
    }
}

/// A valid large record is in memory once, when it is delivered.
#[test]
fn a_large_record_is_in_memory_once() {
    let payload = vec![7; 20 * MIB];
    let segment = Segment::new(1, 64 * MIB).record(&payload).record(&payload);
    let disk = disk_with(&[segment.record(&payload)]);
    let peak = peak(&disk, 3);
    assert!(peak < 24 * MIB as u64, "{peak}");
    assert!(
        peak_of_a_survey(&disk) < 4 * MIB as u64,
        "no payload is kept"
    );
    let read = Read::of(&disk);
    assert!(read.records.iter().all(|record| record.payload == payload));
}

/// An observer of payloads up to a size.
struct Small(Vec<u64>);

impl Observer for Small {
    fn record(&mut self, record: Record) {
        assert!(record.payload.len() <= 100);
        self.0.push(record.lsn.get());
    }

    fn max_payload_size(&self) -> u64 {
        100
    }
}

/// Even if they are few among many, in an atomic batch or not, the others are not kept in memory.
#[test]
fn a_survey_keeps_the_payloads_that_its_observer_wants() {
    for kind in [RECORD, PART] {
        let mut segment = Segment::new(1, 64 * MIB).record(&vec![7; 20 * MIB]);
        for _ in 0..30 {
            segment = segment.frame(kind, &vec![7; MIB]).frame(kind, b"small");
        }
        let disk = disk_with(&[segment.record(&[1; 100])]);
        let mut small = Small(Vec::new());
        let info = measure(|| {
            let survey = LogDir::on(&disk, DIR)
                .survey_with(Depth::Everything, &mut small)
                .unwrap();
            assert!(survey.is_sound());
            assert_eq!(survey.records(), 62);
        });
        let expected: Vec<_> = (3..62).step_by(2).chain([62]).collect();
        assert_eq!(small.0, expected);
        assert!(info.bytes_max < 6 * MIB as u64, "{}", info.bytes_max);
    }
}

/// A batch written with one call, when nothing was durable yet.
fn large_batch() -> Segment {
    let mut segment = Segment::new(1, 32 * MIB);
    for number in 1..=400_000_u32 {
        let payload = number.to_le_bytes();
        let frame = Frame {
            lsn: number.into(),
            payload_sum: crc32(0, &payload),
            len: 4,
            kind: if number < 400_000 { PART } else { RECORD },
            lag: number,
        };
        segment.put(&frame, &payload);
    }
    segment
}

#[test]
fn an_atomic_batch_of_many_records_is_bounded_and_whole() {
    let disk = disk_with(&[large_batch()]);
    let read = Read::of(&disk);
    assert!(read.lsns().into_iter().eq(1..=400_000));
    assert_eq!(read.records[123_456].payload, 123_457_u32.to_le_bytes()[..]);
    let peak = peak(&disk, 400_000);
    assert!(peak < 24 * MIB as u64, "{peak}");
    assert!(peak_of_a_survey(&disk) < 4 * MIB as u64);
}

#[test]
fn a_large_atomic_batch_that_is_not_whole_delivers_nothing() {
    let whole = large_batch();
    for at in [
        whole.at - 3,
        whole.at - 24 - 1,
        whole.at - 24 - 10,
        whole.at / 2,
    ] {
        let mut torn = whole.clone();
        torn.bytes[at] ^= 1;
        let before = Read::of(&disk_with(&[torn]));
        assert_eq!((before.lsns(), before.label()), (vec![], None));
        let cut = before.outcome.unwrap().torn_tail.unwrap();
        assert_eq!(
            (cut.reason.label(), cut.offset),
            ("torn-batch", DATA_AT as u64)
        );
    }
}

/// Headers that follow each other without room for their payloads, all with valid checks.
fn crowded(len: usize, payload: u32) -> SimDisk {
    let mut segment = Segment::new(1, DATA_AT + len).record(b"a");
    let end = segment.bytes.len();
    let mut lsn = 2;
    while segment.at + 20 <= end {
        let left = u32::try_from(end - segment.at - 20).unwrap();
        let forged = Frame {
            lsn,
            payload_sum: 1,
            len: payload.min(left),
            kind: RECORD,
            lag: 1,
        };
        segment.put(&forged, b"");
        lsn += 1;
    }
    disk_with(&[segment])
}

/// Measures the work by the reads: a few blocks for each megabyte of the file, however many places
/// there are to resume at.
#[test]
fn a_survey_reads_a_file_of_crowded_headers_once_or_twice() {
    for payload in [0, 1, 4000, u32::MAX] {
        for len in [MIB, 4 * MIB] {
            let disk = crowded(len, payload);
            let before = disk.operations();
            let survey = survey(&disk);
            let reads = disk.operations() - before;
            assert!(
                !survey.is_sound(),
                "the headers prove records that are lost"
            );
            assert_eq!(survey.records(), 1);
            let bound = 30 + 10 * (len / MIB) as u64;
            assert!(reads <= bound, "{reads} reads for {len} bytes");
        }
    }
}

/// Checked bytes count too: the payload of a record is checked once.
#[test]
fn damage_of_one_record_costs_one_record() {
    let payload = vec![3; 1000];
    let segment = (0..2000).fold(Segment::new(1, 4 * MIB), |segment, _| {
        segment.record(&payload)
    });
    let mut damaged = segment.state(Frame::statement(SEAL, 2000));
    for number in (0..2000).step_by(2) {
        damaged.bytes[DATA_AT + number * 1020 + 500] ^= 1;
    }
    let disk = disk_with(&[damaged]);
    let before = disk.operations();
    let survey = survey(&disk);
    assert_eq!((survey.records(), survey.corruptions.len()), (1000, 1000));
    assert!(disk.operations() - before < 60);
}

/// A payload that looks like records is still a payload.
#[test]
fn what_is_inside_a_damaged_record_is_not_salvaged() {
    let inner = Segment::new(1, 16 * 1024)
        .record(b"a")
        .record(b"b")
        .record(b"c");
    let mut payload = inner.bytes[DATA_AT..inner.at].to_vec();
    payload.extend(b"more");
    let mut segment = Segment::new(1, 16 * 1024).record(&payload).record(b"next");
    segment.bytes[segment.at - 20 - 4 - 1] ^= 1;
    let mut shown = Shown::default();
    let disk = disk_with(&[segment.state(Frame::statement(SEAL, 2))]);
    let survey = shown.survey(&disk);
    assert_eq!(
        shown
            .0
            .iter()
            .map(|record| record.lsn.get())
            .collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(survey.corruptions.len(), 1);
}

#[derive(Default)]
struct Shown(Vec<Record>);

impl Observer for Shown {
    fn record(&mut self, record: Record) {
        self.0.push(record);
    }
}

impl Shown {
    fn survey(&mut self, disk: &SimDisk) -> Survey {
        LogDir::on(disk, DIR)
            .survey_with(Depth::Everything, self)
            .unwrap()
    }
}

/// A random match of the check cannot be distinguished from a record. What it can prove is limited
/// by what fits into the file.
#[test]
fn a_header_that_cannot_be_there_proves_nothing() {
    let sound = Segment::new(1, 16 * 1024).record(b"a");
    let possible = Frame {
        lsn: 3,
        payload_sum: crc32(0, b""),
        len: 0,
        kind: RECORD,
        lag: 1,
    };
    for (frame, gap, label) in [
        (possible, 20, Some("proven-lost")),
        (possible, 19, None),
        (Frame { lag: 3, ..possible }, 20, None),
        (Frame { lag: 4, ..possible }, 20, None),
        (Frame { lag: 0, ..possible }, 20, None),
        (
            Frame {
                lag: LAG_UNKNOWN,
                ..possible
            },
            20,
            None,
        ),
        (
            Frame {
                len: 16 * 1024,
                ..possible
            },
            20,
            None,
        ),
    ] {
        let mut segment = sound.clone();
        segment.at += gap;
        segment.put(&frame, b"");
        assert_eq!(Read::of(&disk_with(&[segment])).label(), label, "{frame:?}");
    }
}
