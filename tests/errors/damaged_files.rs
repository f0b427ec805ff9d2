//! Damage inside one of a log's files.

use tidewal::sim::SimDisk;
use tidewal::{CorruptionKind, Error, UnsupportedReason};

use crate::helpers::{
    Expected, FRAME_HEADER_LEN, HEADER_BLOCK_LEN, PAYLOAD_LEN, SEGMENT_LEN, assert_records,
    assert_refused, collect, contents, damaged_header, edit, log_of, read_error, records_and_error,
    recovery_error, segment,
};
use crate::support::{options, run};

#[test]
fn an_empty_segment_file_is_damage() {
    run(async {
        for base in [1, 5, 9] {
            let disk = log_of(3).await;
            disk.write_file(segment(base), Vec::new());
            damaged_header(base).assert_found(&disk).await;
        }
    });
}

#[test]
fn a_truncated_header_is_damage() {
    run(async {
        for base in [1, 5, 9] {
            for len in [1, 8, 12, 40, 71] {
                let disk = log_of(3).await;
                truncate(&disk, base, len);
                damaged_header(base).assert_found(&disk).await;
            }
        }
    });
}

#[test]
fn a_file_shorter_than_its_header_says_is_damage() {
    run(async {
        for base in [1, 5, 9] {
            for len in [72, 512, 540, 4095, 4096, 10_000, SEGMENT_LEN - 1] {
                let disk = log_of(3).await;
                truncate(&disk, base, len);
                let expected = Expected {
                    damage: CorruptionKind::ShortFile,
                    ..damaged_header(base)
                };
                expected.assert_found(&disk).await;
            }
        }
    });
}

#[test]
fn a_file_longer_than_its_header_says_is_read_as_usual() {
    run(async {
        let disk = log_of(3).await;
        for base in [1, 5, 9] {
            edit(&disk, base, |bytes| bytes.extend([0xaa; 5000]));
        }
        let records = collect(&options(), &disk).await.unwrap();
        assert_records(&records, 1..=12);
    });
}

#[test]
fn every_part_of_a_header_is_covered_by_its_checksum() {
    run(async {
        for at in [0, 8, 12, 16, 24, 32, 40, 48, 56, 64, 68, 71] {
            let disk = log_of(3).await;
            edit(&disk, 5, |bytes| bytes[at] ^= 1);
            damaged_header(5).assert_found(&disk).await;
        }
    });
}

#[test]
fn a_later_format_version_is_told_apart_from_damage() {
    run(async {
        for base in [1, 5, 9] {
            for version in [0, 2, u32::MAX] {
                let disk = log_of(3).await;
                edit_header(&disk, base, |header| {
                    header[8..12].copy_from_slice(&version.to_le_bytes());
                });
                assert_refused(&disk, |error| assert_unsupported(error, base, version)).await;
            }
        }
    });
}

#[test]
fn a_sound_checksum_does_not_make_a_header() {
    run(async {
        let disk = log_of(3).await;
        edit_header(&disk, 5, |header| header[0] = b'T');
        damaged_header(5).assert_found(&disk).await;
        for capacity in [0, 4095, (1 << 32) + 1, u64::MAX] {
            let disk = log_of(3).await;
            edit_header(&disk, 5, |header| {
                header[40..48].copy_from_slice(&u64::to_le_bytes(capacity));
            });
            damaged_header(5).assert_found(&disk).await;
        }
    });
}

#[test]
fn a_damaged_record_in_a_completed_segment_is_an_error_of_the_stream() {
    run(async {
        let disk = log_of(3).await;
        let frame = FRAME_HEADER_LEN + PAYLOAD_LEN;
        let offset = HEADER_BLOCK_LEN + frame;
        edit(&disk, 1, |bytes| {
            bytes[usize::try_from(offset + 1000).unwrap()] ^= 1;
        });
        let expected = Expected {
            damage: CorruptionKind::SealedDamaged,
            segment: 1,
            offset,
            first: 2,
            last: 4,
        };
        let (delivered, error) = records_and_error(&disk).await;
        expected.assert_is(&error);
        assert_records(&delivered, 1..=1);
        let before = contents(&disk);
        for error in [
            recovery_error(&options(), &disk).await,
            read_error(&options(), &disk).await,
        ] {
            expected.assert_is(&error);
        }
        assert_eq!(contents(&disk), before);
    });
}

fn truncate(disk: &SimDisk, base: u64, len: u64) {
    edit(disk, base, |bytes| {
        bytes.truncate(usize::try_from(len).unwrap());
    });
}

/// Changes a header and corrects its checksum (`docs/format.md`, "Header").
fn edit_header(disk: &SimDisk, base: u64, change: impl FnOnce(&mut [u8])) {
    edit(disk, base, |bytes| {
        change(&mut bytes[..68]);
        let checksum = crc32fast::hash(&bytes[..68]);
        bytes[68..72].copy_from_slice(&checksum.to_le_bytes());
    });
}

#[track_caller]
fn assert_unsupported(error: &Error, base: u64, expected: u32) {
    let Error::Unsupported {
        segment: path,
        reason: UnsupportedReason::Version(version),
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((path, *version), (&segment(base), expected));
    let message = error.to_string();
    assert!(message.starts_with(&path.display().to_string()));
    assert!(message.contains(&format!("format version {expected},")));
}
