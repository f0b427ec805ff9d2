//! Bugs that were found in this log, each with a test that would have caught it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Durability, Error, Lsn, SyncPolicy, TornTailReason, Wal};
use tidewal_testing::support::{DIR, options, run, spares};

/// The power is cut after a new segment has its name and before its predecessor has the link. The
/// empty segment is replaced at the next append, and its predecessor never got the link.
#[test]
fn regression_a_lost_newest_segment_is_noticed_after_a_cut_in_rotation() {
    let mut silent = Vec::new();
    for cut in 0..60 {
        for kept in 0..8 {
            let disk = SimDisk::new(cut);
            disk.cut_power_at(cut);
            let options = options().spare_segments(0);
            run(async {
                let Ok(wal) = options.clone().open_on(&disk, DIR).await else {
                    return;
                };
                for _ in 0..4 {
                    if wal.append([7; 7000].as_slice()).await.is_err() {
                        return;
                    }
                }
            });
            if !disk.is_off() {
                continue;
            }
            disk.restart(Survival::Prefix(kept));
            run(async {
                let wal = options.clone().open_on(&disk, DIR).await.unwrap();
                wal.append("acknowledged").await.unwrap();
                wal.close().await.unwrap();
                let mut segments = disk.files(DIR);
                segments.retain(|name| name.contains(".wal"));
                if segments.len() < 2 {
                    return;
                }
                disk.remove_file(Path::new(DIR).join(segments.last().unwrap()));
                let recovery = options.clone().recover_on(&disk, DIR).await.unwrap();
                let records: Result<Vec<_>, _> = recovery.try_collect().await;
                if records.is_ok() {
                    silent.push((cut, kept));
                }
            });
        }
    }
    assert!(
        silent.is_empty(),
        "a shorter log, without a word: {silent:?}"
    );
}

/// A child process that is being started holds a copy of the lock's descriptor until its exec.
#[cfg(unix)]
#[test]
fn regression_a_log_is_free_at_once_though_processes_are_started_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    let mut locked = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::process::Command::new("/bin/true").status().unwrap();
            }
        });
        futures::executor::block_on(async {
            for _ in 0..500 {
                match Wal::recover(dir.path()).await {
                    Ok(recovery) => drop(recovery),
                    Err(Error::Locked { .. }) => locked += 1,
                    Err(error) => println!("{error:?}"),
                }
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(locked, 0, "of 500");
}

/// `submitted + interval` overflows an `Instant`.
#[test]
fn regression_the_longest_interval_is_refused_or_works() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().sync_policy(SyncPolicy::Interval(Duration::MAX));
        let wal = match options.open_on(&disk, DIR).await {
            Ok(wal) => wal,
            Err(error) => return assert!(matches!(error, Error::InvalidOptions { .. })),
        };
        let pending = wal.submit("record").await.unwrap();
        wal.sync().await.unwrap();
        assert_eq!(pending.await.unwrap(), Lsn::FIRST);
    });
}

/// The numbers of spares once continued from the highest one found, which can overflow. Now all
/// spares of an earlier process are removed, and numbering begins at zero.
#[tokio::test]
async fn regression_a_spare_with_the_highest_number_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("18446744073709551615.spare"), "").unwrap();
    let wal = Wal::open(dir.path()).await.unwrap();
    wal.append("record").await.unwrap();
}

/// The caller of a failed append must reopen the log, but could not while a handle was left.
#[test]
fn regression_a_poisoned_log_can_be_reopened_at_once() {
    run(async {
        let disk = SimDisk::new(1);
        disk.set_sync_time(Duration::from_secs(1));
        let options = options().segment_size(8 << 20);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        // Enough for the next segment to be prepared.
        wal.append(vec![0; 1 << 20]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!spares(&disk).is_empty(), "one is being written");
        disk.fail(Operation::Write, 0, io::ErrorKind::Other);
        let error = wal.append("second").await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
        let reopened = options.open_on(&disk, DIR).await;
        assert!(reopened.is_ok(), "{reopened:?}");
    });
}

/// The file was renamed since it was opened.
#[test]
fn regression_a_fault_names_the_segment_and_not_the_spare_that_it_was() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(0);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        wal.append("first").await.unwrap();
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        let Error::OutcomeUnknown(fault) = wal.append("second").await.unwrap_err() else {
            panic!();
        };
        let segment = Path::new(DIR).join("00000000000000000001.wal");
        assert_eq!(fault.path(), segment, "{fault}");
    });
}

/// `Fill` was always served before `Retire`, so there was never a slot for a recycled file.
#[test]
fn regression_a_log_that_is_truncated_as_it_grows_recycles_its_segments() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().spare_segments(2);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        let mut recycled = 0;
        for _ in 0..100 {
            let lsn = wal.append([7; 7000].as_slice()).await.unwrap();
            wal.truncate_before(lsn).await.unwrap();
            let spares = disk.files(DIR).into_iter();
            let spares = spares.filter(|name| name.contains(".spare"));
            recycled += spares
                .filter(|name| disk.read(Path::new(DIR).join(name)).unwrap().contains(&7))
                .count();
        }
        assert!(recycled > 0, "of 99 truncated segments");
    });
}

/// The table in the process knew a directory by its path only.
#[cfg(unix)]
#[tokio::test]
async fn regression_reopening_by_another_path_waits_too() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, link) = (parent.path().join("log"), parent.path().join("link"));
    let wal = Wal::open(&dir).await.unwrap();
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    for _ in 0..1000 {
        drop(wal.submit(vec![1; 10_000]).await.unwrap());
    }
    drop(wal);
    let reopened = Wal::open(&link).await;
    assert!(reopened.is_ok(), "{reopened:?}");
}

/// A log was recovered without a record in its newest segment, and closed: nothing wrote a seal.
#[test]
fn regression_a_log_is_not_cut_off_after_a_clean_close() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().sync_policy(SyncPolicy::Manual);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        let append = wal.append_with("lost", Durability::Written);
        append.await.unwrap();
        disk.cut_power();
        wal.close().await.unwrap_err();
        disk.restart(Survival::Nothing);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.close().await.unwrap();
        let mut recovery = options.recover_on(&disk, DIR).await.unwrap();
        assert!(recovery.try_next().await.unwrap().is_none());
        assert_eq!(recovery.report().torn_tail, None);
    });
}

/// Reading a segment that is full to its last byte stopped at the limit and not at the seal.
#[test]
fn regression_a_full_segment_is_not_cut_off_after_a_clean_close() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append(vec![1; 16 * 1024 - 4096 - 20]).await.unwrap();
        wal.close().await.unwrap();
        let mut recovery = options().recover_on(&disk, DIR).await.unwrap();
        while recovery.try_next().await.unwrap().is_some() {}
        assert_eq!(recovery.report().torn_tail, None);
    });
}

/// A batch whose first record was torn was called a torn record.
#[test]
fn regression_a_torn_batch_is_called_one() {
    for seed in 0..64 {
        run(async {
            let disk = SimDisk::new(seed);
            let options = options()
                .sync_policy(SyncPolicy::Manual)
                .durability(Durability::Written);
            let wal = options.clone().open_on(&disk, DIR).await.unwrap();
            wal.append_batch([vec![7; 2000], vec![8; 2000]])
                .await
                .unwrap();
            disk.cut_power();
            wal.close().await.unwrap_err();
            disk.restart(Survival::Random);
            let mut recovery = options.recover_on(&disk, DIR).await.unwrap();
            while recovery.try_next().await.unwrap().is_some() {}
            let cut = recovery.report().torn_tail.clone().unwrap();
            assert_ne!(cut.reason, TornTailReason::TornRecord, "seed {seed}");
        });
    }
}

/// A reader created the lock file in any directory.
#[tokio::test]
async fn regression_reading_changes_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    drop(Wal::options().read(dir.path()).await);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// The contents from an earlier life of a file are arbitrary, and some may match the check by
/// chance.
#[test]
fn regression_a_chance_hit_in_the_leftovers_is_not_taken_for_proof() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for _ in 0..3 {
            wal.append("acknowledged").await.unwrap();
        }
        disk.restart(Survival::Nothing);
        drop(wal);
        let path = Path::new(DIR).join("00000000000000000001.wal");
        let sound = disk.read(&path).unwrap();
        let salt: [u8; 8] = sound[32..40].try_into().unwrap();
        // An LSN too far ahead for its offset, a length beyond the file, and a proof from before
        // the log began.
        for (lsn, len, lag) in [(70_000, 1, 1), (5, 0xf000_0000, 1), (5, 1, 6), (2, 1, 1)] {
            let mut damaged = sound.clone();
            damaged[6000..6020].copy_from_slice(&forged(salt, lsn, len, lag));
            disk.write_file(&path, damaged);
            let recovery = options().recover_on(&disk, DIR).await.unwrap();
            let records: Vec<_> = recovery.try_collect().await.unwrap();
            assert_eq!(records.len(), 3);
        }
        // A frame that is possible there is a proof.
        let mut damaged = sound.clone();
        damaged[6000..6020].copy_from_slice(&forged(salt, 5, 1, 1));
        disk.write_file(&path, damaged);
        let recovery = options().recover_on(&disk, DIR).await.unwrap();
        let records: Result<Vec<_>, _> = recovery.try_collect().await;
        assert!(matches!(records, Err(Error::Corrupt(_))));
    });
}

/// A frame's header, according to docs/format.md.
fn forged(salt: [u8; 8], lsn: u32, len: u32, lag: u8) -> [u8; 20] {
    let mut header = [0; 20];
    header[0..4].copy_from_slice(&lsn.to_le_bytes());
    header[8..12].copy_from_slice(&len.to_le_bytes());
    (header[12], header[13]) = (1, lag);
    let seed = crc32fast::hash(&[&salt[..], &[0; 4]].concat());
    let mut check = crc32fast::Hasher::new_with_initial(seed);
    check.update(&header[..16]);
    header[16..].copy_from_slice(&check.finalize().to_le_bytes());
    header
}

/// A batch does not wait for its interval while a caller waits behind it.
#[test]
fn regression_neither_sync_nor_an_append_waits_behind_an_interval() {
    run(async {
        let disk = SimDisk::new(1);
        let hour = Duration::from_secs(3600);
        let options = options()
            .sync_policy(SyncPolicy::Interval(hour))
            .queue_records(10);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        let started = tokio::time::Instant::now();
        let pending = wal.submit("waits for the interval").await.unwrap();
        let batch = wal.clone();
        let batch = tokio::spawn(async move { batch.append_batch(["x"; 10]).await });
        tokio::task::yield_now().await;
        wal.sync().await.unwrap();
        pending.await.unwrap();
        batch.await.unwrap().unwrap();
        assert!(started.elapsed() < hour / 60, "{:?}", started.elapsed());
    });
}

/// A signal is not a failure.
#[test]
fn regression_an_interrupted_allocation_is_tried_again() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options()
            .spare_segments(0)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        disk.fail(Operation::Allocate, 0, io::ErrorKind::Interrupted);
        wal.append("record").await.unwrap();
        assert_eq!(disk.clear_faults(), 0);
    });
}

/// The flush request of one waiting caller did not cover the next one.
#[test]
fn regression_no_caller_that_waits_for_room_waits_for_an_interval() {
    run(async {
        let disk = SimDisk::new(1);
        let hour = Duration::from_secs(3600);
        let options = options()
            .sync_policy(SyncPolicy::Interval(hour))
            .queue_bytes(1000);
        let wal = options.open_on(&disk, DIR).await.unwrap();
        let started = tokio::time::Instant::now();
        let mut appends = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let wal = wal.clone();
            appends.spawn(async move { drop(wal.submit(vec![1; 600]).await.unwrap()) });
        }
        while appends.join_next().await.is_some() {}
        assert!(started.elapsed() < hour / 60, "{:?}", started.elapsed());
    });
}

/// A process is killed while it truncates, and the next one reads the head mark from the cache. It
/// removed the segments below the mark before the mark was durable. After a power cut the log had
/// lost its beginning. Found by random workloads with kills and cuts.
#[test]
fn regression_leftovers_of_truncation_go_only_once_it_is_durable_that_they_were_truncated() {
    let disk = SimDisk::new(1);
    let options = options().spare_segments(0);
    run(async {
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        for _ in 0..4 {
            wal.append([7; 12_000].as_slice()).await.unwrap();
        }
        wal.sync().await.unwrap();
        disk.stall(0, Duration::MAX);
        let truncated =
            tokio::time::timeout(Duration::from_secs(1), wal.truncate_before(Lsn::new(3)));
        truncated.await.unwrap_err();
    });
    // The runtime and its process have ended, but not the machine.
    assert_eq!(disk.volatile_changes(), 1, "the mark is in the cache");
    disk.clear_faults();
    for cut in 0..12 {
        for seed in 0..20 {
            let disk = disk.fork();
            disk.reseed(seed);
            disk.cut_power_at(disk.operations() + cut);
            run(async { drop(options.clone().open_on(&disk, DIR).await) });
            disk.restart(Survival::Random);
            run(async {
                let mut reader = options.clone().read_on(&disk, DIR).await.unwrap();
                while reader.try_next().await.unwrap().is_some() {}
                assert_eq!(reader.report().end, Lsn::new(4), "cut {cut}, seed {seed}");
            });
        }
    }
}

/// On XFS, a rename can fail because the disk is full. It has done nothing then, and must not
/// poison the log. Found on a loop-mounted XFS that was really full.
#[test]
fn regression_a_disk_too_full_to_rename_a_file_only_fails_appends() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append([7; 7000].as_slice()).await.unwrap();
        disk.fail(Operation::Rename, 0, io::ErrorKind::StorageFull);
        let full = wal.append([7; 7000].as_slice()).await.unwrap_err();
        assert!(matches!(full, Error::StorageFull(_)), "{full:?}");
        assert_eq!(wal.append("fits").await.unwrap(), Lsn::new(2));
        assert_eq!(wal.append([7; 7000].as_slice()).await.unwrap(), Lsn::new(3));
        wal.close().await.unwrap();
    });
}

/// A batch continues in a new segment, and the sync of the old one fails. The records that were not
/// written were answered before those that were written and have an unknown outcome, and the first
/// answer was taken for both. Found by failing every call once.
#[test]
fn regression_what_was_written_before_a_failed_rotation_is_not_called_certainly_lost() {
    let mut seen_both = 0;
    for skip in 0..12 {
        run(async {
            let disk = SimDisk::new(1);
            let wal = options().open_on(&disk, DIR).await.unwrap();
            disk.fail_on(Operation::Sync, ".wal", skip, io::ErrorKind::Other);
            let mut pending = Vec::new();
            for _ in 0..3 {
                pending.push(wal.submit([7; 7000].as_slice()).await.unwrap());
            }
            let mut kinds = Vec::new();
            for answer in pending {
                kinds.push(match answer.await {
                    Ok(_) => 0,
                    Err(Error::OutcomeUnknown(_)) => 1,
                    Err(Error::Poisoned(_)) => 2,
                    Err(other) => panic!("{other:?}"),
                });
            }
            assert!(kinds.is_sorted(), "sync {skip}: {kinds:?}");
            seen_both += usize::from(kinds.contains(&1) && kinds.contains(&2));
        });
    }
    assert!(seen_both > 0, "no sync failed between two parts of a batch");
}
