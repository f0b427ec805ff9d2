//! Damaged, foreign and later snapshots are distinguished, and none of them is used.

use tidewal::snapshot::{SnapshotError, SnapshotState};
use tidewal::{Error, Lsn};

use crate::helpers::{contents, lsn, open, put, read_all, small_log, write};
use tidewal_testing::support::{DIR, options, run};

const FILE: &str = "log/00000000000000000002.snapshot";

/// Every bit of a small snapshot, except the unused ones of the header block.
#[test]
fn every_flipped_bit_is_noticed() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        wal.close().await.unwrap();
        let len = disk.read(FILE).unwrap().len();
        for bit in (0..80 * 8).chain(4096 * 8..len * 8) {
            disk.corrupt(FILE, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let locked = options().lock_on(&disk, DIR).await.unwrap();
            let read = locked.read_snapshot(lsn(2), read_all).await;
            assert!(
                matches!(read, Err(SnapshotError::Damaged { .. })),
                "bit {bit}: {read:?}"
            );
            disk.corrupt(FILE, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        }
    });
}

#[test]
fn a_short_file_is_damaged() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        let whole = disk.read(FILE).unwrap();
        for len in [0, 79, 80, 4096, whole.len() - 1] {
            disk.corrupt(FILE, |bytes| bytes.truncate(len));
            let listed = wal.snapshots().list().await.unwrap();
            assert_eq!(listed[0].state, SnapshotState::Damaged, "{len} bytes");
            disk.write_file(FILE, whole.clone());
        }
    });
}

/// Chunks in another order, or from an earlier life of the file.
#[test]
fn a_chunk_counts_in_its_own_place_only() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let bytes = contents(lsn(2), true);
        let snapshots = wal.snapshots();
        snapshots.write(lsn(2), put(bytes)).await.unwrap();
        let chunk = 12 + (1 << 20);
        disk.corrupt(FILE, |bytes| {
            let (first, second) = bytes[4096..].split_at_mut(chunk);
            first.swap_with_slice(&mut second[..chunk]);
        });
        let read = wal.snapshots().read(lsn(2), read_all).await;
        let Err(SnapshotError::Damaged { offset, .. }) = read else {
            panic!("{read:?}");
        };
        assert_eq!(offset, 4096);
    });
}

/// Everything is checked, even if the function does not read all of it.
#[test]
fn what_is_not_read_is_checked_too() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        disk.corrupt(FILE, |bytes| *bytes.last_mut().unwrap() ^= 1);
        let read = wal.snapshots().read(lsn(2), |_| Ok(())).await;
        assert!(
            matches!(read, Err(SnapshotError::Damaged { .. })),
            "{read:?}"
        );
    });
}

#[test]
fn a_renamed_snapshot_is_damaged() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        let bytes = disk.read(FILE).unwrap();
        disk.write_file("log/00000000000000000003.snapshot", bytes);
        let listed = wal.snapshots().list().await.unwrap();
        assert_eq!(listed[1].state, SnapshotState::Damaged);
    });
}

#[test]
fn a_snapshot_of_another_log_is_foreign_and_left_alone() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let (other, other_wal) = small_log(2).await;
        let theirs = write(&other_wal.snapshots(), lsn(2)).await.unwrap();
        disk.write_file(FILE, other.read(FILE).unwrap());
        let snapshots = wal.snapshots();
        assert_eq!(
            snapshots.list().await.unwrap()[0].state,
            SnapshotState::Foreign
        );
        for refused in [
            snapshots.read(lsn(2), read_all).await.map(drop),
            write(&snapshots, lsn(2)).await.map(drop),
            snapshots.remove_before(&theirs).await.map(drop),
        ] {
            assert!(
                matches!(refused, Err(SnapshotError::Foreign { .. })),
                "{refused:?}"
            );
        }
        let newest = write(&snapshots, lsn(3)).await.unwrap();
        snapshots.remove_before(&newest).await.unwrap();
        assert!(disk.read(FILE).is_some());
        wal.close().await.unwrap();
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        assert_eq!(
            locked.snapshots().await.unwrap()[0].state,
            SnapshotState::Foreign
        );
    });
}

#[test]
fn one_of_a_later_version_is_told_apart_and_left_alone() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        disk.corrupt(FILE, |bytes| {
            bytes[8] = 2;
            let crc = crc32fast::hash(&bytes[..76]);
            bytes[76..80].copy_from_slice(&crc.to_le_bytes());
        });
        let snapshots = wal.snapshots();
        let read = snapshots.read(lsn(2), read_all).await;
        assert!(
            matches!(read, Err(SnapshotError::Unsupported { version: 2, .. })),
            "{read:?}"
        );
        let newest = write(&snapshots, lsn(3)).await.unwrap();
        snapshots.remove_before(&newest).await.unwrap();
        assert!(disk.read(FILE).is_some());
    });
}

/// While the log still has the records, a damaged snapshot can be replaced by a sound one.
#[test]
fn a_damaged_one_is_replaced() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        disk.corrupt(FILE, |bytes| bytes[5000 - 300] ^= 1);
        let snapshot = write(&wal.snapshots(), lsn(2)).await.unwrap();
        let (read, found) = wal.snapshots().read(lsn(2), read_all).await.unwrap();
        assert_eq!((read, found), (snapshot, contents(lsn(2), false)));
    });
}

/// An irregular or unreadable file does not affect other snapshots.
#[cfg(unix)]
#[test]
fn an_odd_entry_is_listed_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let wal = options().open(dir.path()).await.unwrap();
        for _ in 0..4 {
            wal.append("record").await.unwrap();
        }
        let entry = |number: u64| dir.path().join(format!("{number:020}.snapshot"));
        std::fs::create_dir(entry(1)).unwrap();
        std::os::unix::fs::symlink("nowhere", entry(2)).unwrap();
        let snapshots = wal.snapshots();
        write(&snapshots, lsn(3)).await.unwrap();
        let newest = write(&snapshots, lsn(4)).await.unwrap();
        let listed = snapshots.list().await.unwrap();
        let whole = SnapshotState::Whole { len: 700 };
        let unreadable = SnapshotState::Unreadable;
        let states: Vec<_> = listed.iter().map(|file| file.state).collect();
        assert_eq!(states, [unreadable, unreadable, whole, whole]);
        assert_eq!(snapshots.remove_before(&newest).await.unwrap(), 1);
        assert!(entry(1).is_dir() && entry(2).is_symlink());
        wal.close().await.unwrap();
        let locked = options().lock(dir.path()).await.unwrap();
        assert_eq!(locked.snapshots().await.unwrap().len(), 3);
        locked.read_snapshot(lsn(4), read_all).await.unwrap();
    });
}

/// A log that was lost, or cut by a repair, does not continue from a snapshot that is ahead of it.
#[test]
fn a_snapshot_ahead_of_its_log_is_an_error() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(3)).await.unwrap();
        wal.close().await.unwrap();
        for name in disk.files(DIR) {
            if !name.contains("snapshot") {
                disk.remove_file(format!("{DIR}/{name}"));
            }
        }
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        locked.read_snapshot(lsn(3), read_all).await.unwrap();
        let mut recovery = locked.recover(lsn(4)).await.unwrap();
        let end = recovery.try_next().await;
        let Err(Error::BeyondEnd { asked, end, .. }) = end else {
            panic!("{end:?}");
        };
        assert_eq!((asked, end), (lsn(4), Lsn::ZERO));
    });
    run(async {
        // Opened at its beginning without regard to snapshots, it is a new log.
        let (disk, _) = small_log(1).await;
        disk.restart(tidewal::sim::Survival::Nothing);
        open(&disk).await;
    });
}
