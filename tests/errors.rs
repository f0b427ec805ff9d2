//! What can be wrong with a call, with a path and with the files of a log, and the error for it.
//!
//! Damage is planted on a simulated disk. Paths, permissions and foreign files need a real one.

mod support;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt;
use support::{DIR, options, run};
use tidewal::sim::SimDisk;
use tidewal::{Corruption, Damage, Durability, Error, Lsn, Record, SyncPolicy, Wal, WalOptions};

/// So many records of this size fill a segment of [`options`], and no more fits.
const PER_SEGMENT: u64 = 4;
const PAYLOAD_LEN: u64 = 3000;

const FRAME_HEADER_LEN: u64 = 20;
const HEADER_BLOCK_LEN: u64 = 4096;
const SEGMENT_LEN: u64 = 16 * 1024;

/// The largest payload that a segment of [`options`] holds.
const ROOM: usize = 16 * 1024 - 4096 - 20;

// ---- Appending -------------------------------------------------------------------------------

#[test]
fn a_record_at_the_limit_passes_and_one_byte_more_does_not() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().max_record_size(100);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.append([1; 100].as_slice()).await.unwrap();
        let batch = [vec![0; 3], vec![0; 101]];
        let refused = [
            wal.append([1; 101].as_slice()).await.map(drop),
            wal.append_with([1; 101].as_slice(), Durability::Written)
                .await
                .map(drop),
            wal.submit([1; 101].as_slice()).await.map(drop),
            wal.try_submit([1; 101].as_slice()).map(drop),
            wal.append_batch(batch).await.map(drop),
        ];
        for result in refused {
            assert_too_large(&result.unwrap_err(), 101, 100);
        }
        assert_eq!(wal.append("next").await.unwrap(), Lsn::new(2));
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options, &disk).await, [100, 4]);
    });
}

#[test]
fn the_default_limit_is_what_a_segment_holds() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(vec![1; ROOM]).await.unwrap();
        let error = wal.append(vec![1; ROOM + 1]).await.unwrap_err();
        assert_too_large(&error, ROOM as u64 + 1, ROOM as u64);
        wal.append(vec![1; ROOM]).await.unwrap();
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options(), &disk).await, [ROOM, ROOM]);
    });
}

#[test]
fn a_batch_has_to_fit_one_segment() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        // The second record needs a header of its own.
        let half = (ROOM - 20) / 2;
        wal.append("first").await.unwrap();
        let lsns = wal.append_batch([vec![1; half], vec![2; half]]).await;
        assert_eq!(lsns.unwrap(), Lsn::new(2)..=Lsn::new(3));
        let batch = [vec![1; half], vec![2; half + 1]];
        let error = wal.append_batch(batch).await.unwrap_err();
        assert_too_large(&error, ROOM as u64 + 1, ROOM as u64);
        assert_eq!(wal.append("next").await.unwrap(), Lsn::new(4));
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options(), &disk).await, [5, half, half, 4]);
    });
}

#[test]
fn an_empty_batch_is_refused() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let error = wal.append_batch(Vec::<Vec<u8>>::new()).await.unwrap_err();
        assert!(matches!(error, Error::EmptyBatch), "{error:?}");
        assert!(!error.is_outcome_unknown());
        assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
    });
}

#[test]
fn an_empty_payload_is_a_record_like_any_other() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().max_record_size(0);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        assert_eq!(wal.append("").await.unwrap(), Lsn::FIRST);
        let lsns = wal.append_batch(["", ""]).await.unwrap();
        assert_eq!(lsns, Lsn::new(2)..=Lsn::new(3));
        wal.close().await.unwrap();
        assert_eq!(payload_lens(&options, &disk).await, [0, 0, 0]);
    });
}

// ---- Options ---------------------------------------------------------------------------------

#[tokio::test]
async fn an_option_out_of_bounds_is_named_with_its_bound() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    for (options, field, bound) in out_of_bounds() {
        let refused = [
            options.clone().open(&dir).await.map(drop),
            options.clone().recover(&dir).await.map(drop),
            options.clone().read(&dir).await.map(drop),
        ];
        for result in refused {
            assert_invalid(&result.unwrap_err(), field, bound);
        }
    }
    assert!(!dir.exists(), "nothing was opened");
}

#[test]
fn options_are_checked_on_a_simulated_disk_too() {
    run(async {
        let disk = SimDisk::new(1);
        for (options, field, bound) in out_of_bounds() {
            let refused = [
                options.clone().open_on(&disk, DIR).await.map(drop),
                options.clone().recover_on(&disk, DIR).await.map(drop),
                options.clone().read_on(&disk, DIR).await.map(drop),
            ];
            for result in refused {
                assert_invalid(&result.unwrap_err(), field, bound);
            }
        }
        assert_eq!(disk.operations(), 0);
    });
}

#[tokio::test]
async fn options_at_their_bounds_are_accepted() {
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    let o = Wal::options;
    let accepted = [
        o().sync_policy(SyncPolicy::Interval(Duration::from_nanos(1))),
        o().segment_size(SEGMENT_LEN).max_record_size(ROOM),
        o().segment_size(u32::MAX.into()),
        o().max_batch_bytes(1).max_batch_records(1),
        o().max_batch_bytes(usize::MAX)
            .max_batch_records(usize::MAX),
        o().queue_bytes(1).queue_records(1),
        o().queue_bytes(u32::MAX as usize)
            .queue_records(u32::MAX as usize),
        o().spare_segments(0),
        o().spare_segments(64),
    ];
    for options in accepted {
        // Options are checked before anything is looked at.
        let error = options.clone().read(&missing).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{options:?}: {error:?}");
    }
}

fn out_of_bounds() -> Vec<(WalOptions, &'static str, &'static str)> {
    let o = Wal::options;
    let interval = SyncPolicy::Interval(Duration::ZERO);
    let segment = "between 16384 and 4294967295 bytes";
    let room = "at most 12268 bytes, which is what a segment of this size holds";
    let mut cases = vec![
        (
            o().sync_policy(interval),
            "sync_policy",
            "an interval above zero and of at most one day",
        ),
        (o().segment_size(SEGMENT_LEN - 1), "segment_size", segment),
        (o().segment_size(0), "segment_size", segment),
        (o().segment_size(1 << 32), "segment_size", segment),
        (o().segment_size(u64::MAX), "segment_size", segment),
        (o().max_batch_bytes(0), "max_batch_bytes", "at least 1 byte"),
        (
            o().max_batch_records(0),
            "max_batch_records",
            "at least 1 record",
        ),
        (options().max_record_size(ROOM + 1), "max_record_size", room),
        (
            o().queue_bytes(0),
            "queue_bytes",
            "between 1 and 4294967295 bytes",
        ),
        (
            o().queue_records(0),
            "queue_records",
            "between 1 and 4294967295 records",
        ),
        (o().spare_segments(65), "spare_segments", "at most 64 files"),
    ];
    if let Some(too_many) = (u32::MAX as usize).checked_add(1) {
        let bytes = "between 1 and 4294967295 bytes";
        let records = "between 1 and 4294967295 records";
        cases.push((o().queue_bytes(too_many), "queue_bytes", bytes));
        cases.push((o().queue_records(too_many), "queue_records", records));
    }
    cases
}

// ---- Paths -----------------------------------------------------------------------------------

#[tokio::test]
async fn a_missing_directory_is_created_with_its_parents() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b/c");
    let wal = options().open(&dir).await.unwrap();
    assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
    wal.close().await.unwrap();
    assert_eq!(read_dir(&dir).await.len(), 1);
}

#[tokio::test]
async fn an_empty_directory_is_an_empty_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = options().read(dir.path()).await.unwrap();
    assert!(reader.try_next().await.unwrap().is_none());
    drop(reader);
    let mut recovery = options().recover(dir.path()).await.unwrap();
    assert!(recovery.try_next().await.unwrap().is_none());
    let report = recovery.report().clone();
    assert_eq!((report.segments, report.records, report.bytes), (0, 0, 0));
    assert_eq!((report.oldest, report.end), (Lsn::FIRST, Lsn::ZERO));
    assert_eq!(report.cut, None);
    let wal = recovery.into_wal().await.unwrap();
    assert_eq!(wal.durable_lsn(), Lsn::ZERO);
    wal.close().await.unwrap();
    assert!(read_dir(dir.path()).await.is_empty());
}

#[tokio::test]
async fn a_new_directory_is_an_empty_log_at_the_second_opening_too() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    Wal::open(&dir).await.unwrap().close().await.unwrap();
    let mut recovery = Wal::recover(&dir).await.unwrap();
    assert!(recovery.try_next().await.unwrap().is_none());
    let wal = recovery.into_wal().await.unwrap();
    assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
    wal.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn reading_a_missing_directory_is_an_error_and_creates_nothing() {
    let parent = tempfile::tempdir().unwrap();
    for dir in [parent.path().join("log"), parent.path().join("a/b")] {
        let error = options().read(&dir).await.unwrap_err();
        assert_fault(&error, "open the directory", &dir, io::ErrorKind::NotFound);
    }
    assert!(tree(parent.path()).is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_path_that_is_a_file_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let before = tree(parent.path());
    assert_not_made(&file, io::ErrorKind::NotADirectory).await;
    let error = options().read(&file).await.unwrap_err();
    assert_fault(&error, "lock", &file, io::ErrorKind::NotADirectory);
    assert_eq!(tree(parent.path()), before);
}

#[cfg(unix)]
#[tokio::test]
async fn a_parent_that_is_a_file_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("file"), "not a directory").unwrap();
    let before = tree(parent.path());
    for below in ["file/log", "file/a/b"] {
        let dir = parent.path().join(below);
        assert_not_made(&dir, io::ErrorKind::NotADirectory).await;
        let error = options().read(&dir).await.unwrap_err();
        assert_fault(
            &error,
            "open the directory",
            &dir,
            io::ErrorKind::NotADirectory,
        );
    }
    assert_eq!(tree(parent.path()), before);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_place_where_nobody_can_create_directories_is_an_error() {
    for dir in ["/proc/tidewal", "/proc/tidewal/log"] {
        assert_not_made(Path::new(dir), io::ErrorKind::NotFound).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_without_permission_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let sealed = parent.path().join("sealed");
    std::fs::create_dir(&sealed).unwrap();
    let open_again = Permissions::set(&sealed, 0o500);
    if std::fs::create_dir(sealed.join("probe")).is_ok() {
        println!("skipped: this user may write anywhere (root); see the test below /proc");
        return;
    }
    let denied = io::ErrorKind::PermissionDenied;
    assert_not_made(&sealed.join("a/b"), denied).await;
    for error in [
        options().open(&sealed).await.unwrap_err(),
        options().recover(&sealed).await.unwrap_err(),
    ] {
        assert_fault(&error, "lock", &sealed, denied);
    }
    // A reader makes do with a lock file that exists, and there is none.
    let error = options().read(&sealed).await.unwrap_err();
    assert_fault(&error, "lock", &sealed, io::ErrorKind::NotFound);
    drop(open_again);
    assert!(tree(&sealed).is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_cannot_be_looked_into_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    options().open(&dir).await.unwrap().close().await.unwrap();
    let _open_again = Permissions::set(&dir, 0o000);
    if std::fs::read_dir(&dir).is_ok() {
        println!("skipped: this user may read anything (root)");
        return;
    }
    for error in [
        options().open(&dir).await.unwrap_err(),
        options().recover(&dir).await.unwrap_err(),
        options().read(&dir).await.unwrap_err(),
    ] {
        assert_fault(&error, "lock", &dir, io::ErrorKind::PermissionDenied);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_that_cannot_be_written_to_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let wal = options().open(dir.path()).await.unwrap();
    wal.append("kept").await.unwrap();
    wal.close().await.unwrap();
    let _file = Permissions::set(&dir.path().join("LOCK"), 0o400);
    let _dir = Permissions::set(dir.path(), 0o500);
    let before = tree(dir.path());
    assert_eq!(read_dir(dir.path()).await[0].payload, "kept");
    assert_eq!(tree(dir.path()), before);
}

#[tokio::test]
async fn an_empty_path_is_an_error() {
    for error in [
        options().open("").await.unwrap_err(),
        options().recover("").await.unwrap_err(),
        options().read("").await.unwrap_err(),
    ] {
        let Error::Io(fault) = error else {
            panic!("{error:?}");
        };
        assert_eq!(fault.path(), Path::new(""));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_in_the_place_of_a_segment_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let segment = dir.path().join("00000000000000000001.wal");
    std::fs::create_dir(&segment).unwrap();
    for error in [
        options().open(dir.path()).await.unwrap_err(),
        options().recover(dir.path()).await.unwrap_err(),
        options().read(dir.path()).await.unwrap_err(),
    ] {
        assert_fault(&error, "read", &segment, io::ErrorKind::IsADirectory);
    }
}

#[tokio::test]
async fn foreign_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    plant_foreign(dir.path());
    let foreign = tree(dir.path());
    live_through_a_life(dir.path()).await;
    let mut left = tree(dir.path());
    assert!(left.len() > foreign.len(), "the log is there too");
    left.retain(|name, _| foreign.contains_key(name));
    assert_eq!(left, foreign);
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_are_not_unicode_are_left_alone() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(OsStr::from_bytes(b"log-\xff"));
    std::fs::create_dir(&dir).unwrap();
    for name in [
        b"\xff".as_slice(),
        b"0000000000000000000\xff.wal",
        b"0000000000000000000\xff.spare",
    ] {
        std::fs::write(dir.join(OsStr::from_bytes(name)), "foreign").unwrap();
    }
    std::os::unix::fs::symlink("nowhere", dir.join(OsStr::from_bytes(b"\xfe.wal"))).unwrap();
    let foreign = tree(&dir);
    assert_eq!(foreign.len(), 4);
    live_through_a_life(&dir).await;
    let mut left = tree(&dir);
    left.retain(|name, _| foreign.contains_key(name));
    assert_eq!(left, foreign);
}

/// Opens, rotates, truncates, closes and recovers.
async fn live_through_a_life(dir: &Path) {
    let wal = options().open(dir).await.unwrap();
    for number in 1..=12 {
        wal.append(payload(number)).await.unwrap();
    }
    wal.truncate_before(Lsn::new(9)).await.unwrap();
    wal.close().await.unwrap();
    let records = read_dir(dir).await;
    assert_records(&records, 9..=12);
    let recovery = options().recover(dir).await.unwrap();
    let wal = recovery.into_wal().await.unwrap();
    assert_eq!(wal.append(payload(13)).await.unwrap(), Lsn::new(13));
    wal.close().await.unwrap();
}

fn plant_foreign(dir: &Path) {
    for name in [
        "notes.txt",
        "1.wal",
        "00000000000000000000.wal",
        "00000000000000000001.wal~",
        "00000000000000000001.wal.gz",
        "99999999999999999999.wal",
        "0000000000000000000x.wal",
        "0000000000000000001.spare",
        ".wal",
        ".spare",
        "lock",
    ] {
        std::fs::write(dir.join(name), name).unwrap();
    }
    std::fs::create_dir_all(dir.join("lost+found/deep")).unwrap();
    std::fs::write(dir.join("lost+found/00000000000000000001.wal"), "x").unwrap();
    std::fs::create_dir(dir.join("backup.wal")).unwrap();
}

// ---- Damaged files ---------------------------------------------------------------------------

#[test]
fn an_empty_segment_file_is_damage() {
    run(async {
        for base in [1, 5, 9] {
            let disk = log_of(3).await;
            disk.plant(segment(base), Vec::new());
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
                    damage: Damage::ShortFile,
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
fn a_renamed_segment_is_damage() {
    run(async {
        for (from, to) in [(1, 2), (5, 6), (9, 10), (9, 13), (9, u64::MAX)] {
            let disk = log_of(3).await;
            let bytes = disk.read(segment(from)).unwrap();
            disk.destroy(segment(from));
            disk.plant(segment(to), bytes);
            let expected = Expected {
                damage: Damage::NameMismatch,
                ..damaged_header(to)
            };
            expected.assert_found(&disk).await;
        }
    });
}

#[test]
fn a_missing_segment_in_the_middle_is_damage() {
    run(async {
        let disk = log_of(4).await;
        disk.destroy(segment(5));
        disk.destroy(segment(9));
        let expected = Expected {
            damage: Damage::ChainBroken,
            segment: 13,
            offset: 0,
            first: 1,
            last: 12,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_missing_oldest_segment_is_damage() {
    run(async {
        let disk = log_of(3).await;
        disk.destroy(segment(1));
        let expected = Expected {
            damage: Damage::PredecessorMissing,
            segment: 5,
            offset: 0,
            first: 1,
            last: 4,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_missing_oldest_segment_of_a_truncated_log_is_damage() {
    run(async {
        let disk = truncated_log().await;
        disk.destroy(segment(5));
        let expected = Expected {
            damage: Damage::PredecessorMissing,
            segment: 9,
            offset: 0,
            first: 1,
            last: 8,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_missing_newest_segment_is_damage() {
    run(async {
        let disk = log_of(3).await;
        disk.destroy(segment(9));
        let expected = Expected {
            damage: Damage::SuccessorMissing,
            segment: 5,
            offset: HEADER_BLOCK_LEN + PER_SEGMENT * (FRAME_HEADER_LEN + PAYLOAD_LEN),
            first: 9,
            last: 0,
        };
        expected.assert_found(&disk).await;
        let (delivered, _) = records_and_error(&disk).await;
        assert_records(&delivered, 1..=8);
    });
}

#[test]
fn a_segment_of_another_log_is_damage() {
    run(async {
        // A joint is named by its newer side.
        for (foreign, named) in [(1, 5), (5, 9), (9, 9)] {
            let disk = log_of(3).await;
            let other = SimDisk::new(2);
            fill(&other, 3).await;
            disk.plant(segment(foreign), other.read(segment(foreign)).unwrap());
            let expected = Expected {
                damage: Damage::ForeignSegment,
                segment: named,
                offset: 0,
                first: named,
                last: named - 1,
            };
            expected.assert_found(&disk).await;
        }
    });
}

#[test]
fn a_segment_of_another_log_below_the_oldest_is_damage() {
    run(async {
        let disk = truncated_log().await;
        let other = SimDisk::new(2);
        fill(&other, 1).await;
        disk.plant(segment(1), other.read(segment(1)).unwrap());
        let expected = Expected {
            damage: Damage::ForeignSegment,
            segment: 1,
            offset: 0,
            first: 1,
            last: 0,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn an_earlier_life_of_a_segment_does_not_join_its_neighbour() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(payload(1)).await.unwrap();
        let fork = disk.fork();
        fork.reseed(7);
        wal.close().await.unwrap();
        fill_from(&disk, 2, 8).await;
        fill_from(&fork, 2, 8).await;
        disk.plant(segment(2), fork.read(segment(2)).unwrap());
        let expected = Expected {
            damage: Damage::ChainBroken,
            segment: 6,
            offset: 0,
            first: 2,
            last: 5,
        };
        expected.assert_found(&disk).await;
    });
}

#[test]
fn a_truncated_segment_that_came_back_is_no_part_of_the_log() {
    run(async {
        let disk = log_of(3).await;
        let old = disk.read(segment(1)).unwrap();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.truncate_before(Lsn::new(5)).await.unwrap();
        wal.close().await.unwrap();
        disk.plant(segment(1), old);
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        let records: Vec<_> = (&mut recovery).try_collect().await.unwrap();
        assert_records(&records, 5..=12);
        assert!(disk.read(segment(1)).is_some(), "reading changes nothing");
        recovery.into_wal().await.unwrap().close().await.unwrap();
        assert!(disk.read(segment(1)).is_none(), "it was removed after all");
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
            damage: Damage::SealedDamaged,
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

#[test]
fn a_refused_log_can_be_recovered_once_it_is_whole_again() {
    run(async {
        let disk = log_of(3).await;
        let bytes = disk.read(segment(5)).unwrap();
        disk.destroy(segment(5));
        recovery_error(&options(), &disk).await;
        disk.plant(segment(5), bytes);
        let records = collect(&options(), &disk).await.unwrap();
        assert_records(&records, 1..=12);
    });
}

#[test]
fn every_kind_of_damage_has_a_label_of_its_own() {
    let labels: std::collections::BTreeSet<_> =
        Damage::ALL.iter().map(|damage| damage.label()).collect();
    assert_eq!(labels.len(), Damage::ALL.len());
    let texts: std::collections::BTreeSet<_> =
        Damage::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), Damage::ALL.len());
}

// ---- Where to start, and how far to truncate -------------------------------------------------

#[test]
fn starting_below_the_oldest_record_is_an_error() {
    run(async {
        let disk = truncated_log().await;
        for asked in [1, 4] {
            let options = options().start_at(Lsn::new(asked));
            let before = contents(&disk);
            for error in [
                options.clone().recover_on(&disk, DIR).await.unwrap_err(),
                options.clone().recover_on(&disk, DIR).await.unwrap_err(),
                options.clone().read_on(&disk, DIR).await.unwrap_err(),
            ] {
                assert_truncated(&error, asked, 5);
            }
            assert_eq!(contents(&disk), before);
        }
    });
}

#[test]
fn starting_at_any_record_that_is_kept_delivers_it_and_those_after_it() {
    run(async {
        let disk = truncated_log().await;
        for first in 5..=12 {
            let options = options().start_at(Lsn::new(first));
            let records = collect(&options, &disk).await.unwrap();
            assert_records(&records, first..=12);
        }
        let options = options().start_at(Lsn::ZERO);
        let records = collect(&options, &disk).await.unwrap();
        assert_records(&records, 5..=12);
    });
}

#[test]
fn starting_right_after_the_end_delivers_nothing() {
    run(async {
        let disk = truncated_log().await;
        let options = options().start_at(Lsn::new(13));
        let mut recovery = options.recover_on(&disk, DIR).await.unwrap();
        assert!(recovery.try_next().await.unwrap().is_none());
        assert_eq!(recovery.report().end, Lsn::new(12));
        let wal = recovery.into_wal().await.unwrap();
        assert_eq!(wal.append("next").await.unwrap(), Lsn::new(13));
        wal.close().await.unwrap();
    });
}

#[test]
fn starting_beyond_the_end_is_an_error_of_the_stream_and_of_into_wal() {
    run(async {
        let disk = truncated_log().await;
        for asked in [14, 1000, u64::MAX] {
            let options = options().start_at(Lsn::new(asked));
            let before = contents(&disk);
            let recovery = options.clone().recover_on(&disk, DIR).await.unwrap();
            let unread = recovery.into_wal().await.unwrap_err();
            let errors = [
                unread,
                recovery_error(&options, &disk).await,
                recovery_error(&options, &disk).await,
                read_error(&options, &disk).await,
            ];
            for error in errors {
                assert_beyond_end(&error, asked, 12);
            }
            assert_eq!(contents(&disk), before);
        }
    });
}

#[test]
fn an_empty_log_starts_at_its_first_record() {
    run(async {
        let disk = SimDisk::new(1);
        for asked in [0, 1] {
            let options = options().start_at(Lsn::new(asked));
            assert!(collect(&options, &disk).await.unwrap().is_empty());
        }
        let options = options().start_at(Lsn::new(2));
        let error = recovery_error(&options, &disk).await;
        assert_beyond_end(&error, 2, 0);
    });
}

#[test]
fn opening_without_reading_does_not_care_where_reading_would_start() {
    run(async {
        let disk = truncated_log().await;
        for asked in [1, 100] {
            let options = options().start_at(Lsn::new(asked));
            let wal = options.open_on(&disk, DIR).await.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::new(12));
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn truncating_beyond_the_end_is_an_error_and_changes_nothing() {
    run(async {
        let disk = log_of(3).await;
        let wal = options().open_on(&disk, DIR).await.unwrap();
        assert_cannot_truncate(&disk, &wal, 12).await;
        wal.append(payload(13)).await.unwrap();
        assert_cannot_truncate(&disk, &wal, 13).await;
        wal.truncate_before(Lsn::new(14)).await.unwrap();
        assert_eq!(wal.append(payload(14)).await.unwrap(), Lsn::new(14));
        wal.close().await.unwrap();
    });
}

#[test]
fn an_empty_log_can_be_truncated_up_to_its_first_record() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for before in [0, 1] {
            wal.truncate_before(Lsn::new(before)).await.unwrap();
        }
        assert_cannot_truncate(&disk, &wal, 0).await;
        assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
        wal.close().await.unwrap();
    });
}

#[test]
fn truncating_to_the_beginning_does_nothing() {
    run(async {
        let disk = log_of(3).await;
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let before = contents(&disk);
        for mark in [0, 1, 4] {
            wal.truncate_before(Lsn::new(mark)).await.unwrap();
            assert_eq!(contents(&disk), before, "mark {mark}");
        }
        wal.close().await.unwrap();
        let records = collect(&options(), &disk).await.unwrap();
        assert_records(&records, 1..=12);
    });
}

async fn assert_cannot_truncate(disk: &SimDisk, wal: &Wal, end: u64) {
    let before = contents(disk);
    for asked in [end + 2, u64::MAX] {
        let error = wal.truncate_before(Lsn::new(asked)).await.unwrap_err();
        assert_beyond_end(&error, asked, end);
    }
    assert_eq!(contents(disk), before);
}

// ---- Logs to damage --------------------------------------------------------------------------

/// A closed log of so many full segments, which begin at 1, 5, 9 and so on.
async fn log_of(segments: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    fill(&disk, segments).await;
    disk
}

/// A log of the records 5 to 12 in two segments: the one before them was truncated.
async fn truncated_log() -> SimDisk {
    let disk = log_of(3).await;
    let wal = options().open_on(&disk, DIR).await.unwrap();
    wal.truncate_before(Lsn::new(5)).await.unwrap();
    wal.close().await.unwrap();
    disk
}

async fn fill(disk: &SimDisk, segments: u64) {
    fill_from(disk, 1, segments * PER_SEGMENT).await;
}

async fn fill_from(disk: &SimDisk, first: u64, count: u64) {
    let wal = options().spare_segments(0).open_on(disk, DIR).await;
    let wal = wal.unwrap();
    for number in first..first + count {
        assert_eq!(wal.append(payload(number)).await.unwrap(), Lsn::new(number));
    }
    wal.close().await.unwrap();
}

fn payload(number: u64) -> Vec<u8> {
    let byte = u8::try_from(number % 251).unwrap();
    vec![byte; usize::try_from(PAYLOAD_LEN).unwrap()]
}

fn segment(base: u64) -> PathBuf {
    Path::new(DIR).join(format!("{base:020}.wal"))
}

fn edit(disk: &SimDisk, base: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.read(segment(base)).unwrap();
    change(&mut bytes);
    disk.plant(segment(base), bytes);
}

fn truncate(disk: &SimDisk, base: u64, len: u64) {
    edit(disk, base, |bytes| {
        bytes.truncate(usize::try_from(len).unwrap());
    });
}

/// Changes a header and makes its checksum right again (`docs/format.md`, "Segment header").
fn edit_header(disk: &SimDisk, base: u64, change: impl FnOnce(&mut [u8])) {
    edit(disk, base, |bytes| {
        change(&mut bytes[..68]);
        let checksum = crc32fast::hash(&bytes[..68]);
        bytes[68..72].copy_from_slice(&checksum.to_le_bytes());
    });
}

fn contents(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let files = disk.files(DIR).into_iter();
    files
        .map(|name| {
            let bytes = disk.read(Path::new(DIR).join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

/// Everything below a directory but the lock file: files with their bytes, the rest by name.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path.clone());
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            found.insert(path, bytes);
        }
    }
    found.retain(|path, _| !path.ends_with("LOCK"));
    found
}

/// Permissions of a path for as long as this lives; then its owner may do everything.
#[cfg(unix)]
struct Permissions(PathBuf);

#[cfg(unix)]
impl Permissions {
    fn set(path: &Path, mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt;

        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        Self(path.to_owned())
    }
}

#[cfg(unix)]
impl Drop for Permissions {
    fn drop(&mut self) {
        use std::os::unix::fs::PermissionsExt;

        let all = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&self.0, all).unwrap();
    }
}

// ---- Reading ---------------------------------------------------------------------------------

async fn collect(options: &WalOptions, disk: &SimDisk) -> Result<Vec<Record>, Error> {
    let recovery = options.clone().recover_on(disk, DIR).await?;
    recovery.try_collect().await
}

async fn payload_lens(options: &WalOptions, disk: &SimDisk) -> Vec<usize> {
    let records = collect(options, disk).await.unwrap();
    records.iter().map(|record| record.payload.len()).collect()
}

async fn read_dir(dir: &Path) -> Vec<Record> {
    let reader = options().read(dir).await.unwrap();
    reader.try_collect().await.unwrap()
}

/// What a recovery delivers before it fails, and how it fails.
async fn records_and_error(disk: &SimDisk) -> (Vec<Record>, Error) {
    let mut recovery = options().recover_on(disk, DIR).await.unwrap();
    let mut records = Vec::new();
    loop {
        match recovery.try_next().await {
            Ok(record) => records.push(record.expect("an error comes before the end")),
            Err(error) => return (records, error),
        }
    }
}

/// The error that a recovery ends with, at once or while it is read, after which `into_wal` says the
/// same.
async fn recovery_error(options: &WalOptions, disk: &SimDisk) -> Error {
    let mut recovery = match options.clone().recover_on(disk, DIR).await {
        Ok(recovery) => recovery,
        Err(error) => return error,
    };
    let error = loop {
        if let Err(error) = recovery.try_next().await.map(|record| record.unwrap()) {
            break error;
        }
    };
    let next = recovery.try_next().await.unwrap();
    assert_eq!(next, None, "a stream ends after its error");
    let again = recovery.into_wal().await.unwrap_err();
    assert_same(&again, &error);
    error
}

async fn read_error(options: &WalOptions, disk: &SimDisk) -> Error {
    match options.clone().read_on(disk, DIR).await {
        Ok(reader) => reader.try_collect::<Vec<_>>().await.unwrap_err(),
        Err(error) => error,
    }
}

// ---- What errors say -------------------------------------------------------------------------

/// A [`Corruption`] by its fields.
struct Expected {
    damage: Damage,
    /// By its base LSN.
    segment: u64,
    offset: u64,
    first: u64,
    last: u64,
}

/// Damage to the header of the segment at `base`, so that nothing is known about its records.
fn damaged_header(base: u64) -> Expected {
    Expected {
        damage: Damage::HeaderDamaged,
        segment: base,
        offset: 0,
        first: base,
        last: 0,
    }
}

impl Expected {
    /// Checks that every way into the log leads to this error, and changes nothing.
    async fn assert_found(&self, disk: &SimDisk) {
        assert_refused(disk, |error| self.assert_is(error)).await;
    }

    fn assert_is(&self, error: &Error) {
        let Error::Corrupt(found) = error else {
            panic!("expected {:?}, got {error:?}", self.damage);
        };
        let Corruption {
            damage,
            segment: path,
            offset,
            first,
            last,
            ..
        } = found.as_ref();
        assert_eq!(
            (*damage, path.clone(), *offset, first.get(), last.get()),
            (
                self.damage,
                segment(self.segment),
                self.offset,
                self.first,
                self.last
            ),
        );
        self.assert_message(&error.to_string());
    }

    fn assert_message(&self, message: &str) {
        let place = format!(
            "{} at byte {}: ",
            segment(self.segment).display(),
            self.offset
        );
        assert!(message.starts_with(&place), "{message}");
        assert!(message.contains(self.damage.label()), "{message}");
        let lost = if self.last >= self.first {
            format!("records {} to {} were durable", self.first, self.last)
        } else {
            format!("cannot be read from record {} on", self.first)
        };
        assert!(message.ends_with(&lost), "{message}");
    }
}

/// Checks that opening, recovering, recovering again and reading give the same error, which passes
/// `check`, and leave every byte of the directory as it was.
async fn assert_refused(disk: &SimDisk, check: impl Fn(&Error)) {
    let before = contents(disk);
    let first = recovery_error(&options(), disk).await;
    check(&first);
    for other in [
        recovery_error(&options(), disk).await,
        read_error(&options(), disk).await,
        options().open_on(disk, DIR).await.unwrap_err(),
    ] {
        assert_same(&other, &first);
    }
    assert_eq!(contents(disk), before, "nothing on disk was changed");
}

fn assert_same(error: &Error, other: &Error) {
    assert_eq!(format!("{error:?}"), format!("{other:?}"));
}

fn assert_records(records: &[Record], lsns: std::ops::RangeInclusive<u64>) {
    let expected: Vec<_> = lsns.map(|number| (number, payload(number))).collect();
    let found: Vec<_> = records
        .iter()
        .map(|record| (record.lsn.get(), record.payload.to_vec()))
        .collect();
    assert!(found == expected, "got {:?}", lsns_of(records));
}

fn lsns_of(records: &[Record]) -> Vec<Lsn> {
    records.iter().map(|record| record.lsn).collect()
}

#[track_caller]
fn assert_too_large(error: &Error, expected_len: u64, expected_max: u64) {
    let Error::TooLarge { len, max, .. } = *error else {
        panic!("{error:?}");
    };
    assert_eq!((len, max), (expected_len, expected_max));
    assert!(!error.is_outcome_unknown());
    let message = format!("{len} bytes are too many, the limit is {max}");
    assert_eq!(error.to_string(), message);
}

#[track_caller]
fn assert_invalid(error: &Error, expected_field: &str, expected_bound: &str) {
    let Error::InvalidOptions { field, bound, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((*field, bound.as_str()), (expected_field, expected_bound));
    let message = format!("option {field} must be {bound}");
    assert_eq!(error.to_string(), message);
}

#[track_caller]
fn assert_unsupported(error: &Error, base: u64, expected: u32) {
    let Error::Unsupported {
        segment: path,
        version,
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

#[track_caller]
fn assert_truncated(error: &Error, expected_asked: u64, expected_oldest: u64) {
    let Error::Truncated { asked, oldest, .. } = error else {
        panic!("{error:?}");
    };
    let expected = (Lsn::new(expected_asked), Lsn::new(expected_oldest));
    assert_eq!((*asked, *oldest), expected);
    let message = error.to_string();
    assert!(message.contains(&format!("LSN {asked} ")), "{message}");
    assert!(message.ends_with(&format!(" {oldest}")), "{message}");
}

#[track_caller]
fn assert_beyond_end(error: &Error, expected_asked: u64, expected_end: u64) {
    let Error::BeyondEnd { asked, end, .. } = error else {
        panic!("{error:?}");
    };
    let expected = (Lsn::new(expected_asked), Lsn::new(expected_end));
    assert_eq!((*asked, *end), expected);
    let message = error.to_string();
    assert!(message.contains(&format!("LSN {asked} ")), "{message}");
    assert!(message.ends_with(&format!(" {end}")), "{message}");
}

/// Checks that the directory cannot be created, for appending or for recovering.
#[cfg(unix)]
async fn assert_not_made(dir: &Path, kind: io::ErrorKind) {
    let action = "create the directory";
    assert_fault(&options().open(dir).await.unwrap_err(), action, dir, kind);
    assert_fault(
        &options().recover(dir).await.unwrap_err(),
        action,
        dir,
        kind,
    );
}

#[track_caller]
fn assert_fault(error: &Error, action: &str, path: &Path, kind: io::ErrorKind) {
    let Error::Io(fault) = error else {
        panic!("{error:?}");
    };
    assert_eq!((fault.action(), fault.path()), (action, path));
    assert_eq!(fault.io_error().kind(), kind, "{error:?}");
    let message = format!("cannot {action} {}", path.display());
    assert_eq!(error.to_string(), message);
    let reason = std::error::Error::source(error).expect("the reason is the source");
    assert_eq!(reason.to_string(), fault.io_error().to_string());
}
