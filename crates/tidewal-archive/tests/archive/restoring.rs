//! What a restore writes, and what it refuses.

use futures::StreamExt;
use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal::tools::Depth;
use tidewal_archive::{Archive, ArchiveOptions, Archiver, Error, RestoreTarget};

use crate::helpers::{
    PREFIX, append, archived, numbers, open, payload, quick, recover, restore, restored_records,
    segments, ship, start,
};
use crate::store::{Fault, Store};
use crate::support::{DIR, options, run};

#[test]
fn every_record_can_be_the_last() {
    run(async {
        let (_, store) = archived(23).await;
        for last in 1..=23 {
            let records = restored_records(&store, RestoreTarget::Lsn(Lsn::new(last))).await;
            assert_eq!(records, numbers(1..=last));
        }
        let beyond = restore(&store, RestoreTarget::Lsn(Lsn::new(24))).await;
        assert!(matches!(
            beyond,
            Err(Error::BeyondEnd { asked, end , .. }) if (asked, end) == (Lsn::new(24), Lsn::new(23))
        ));
        let before = restore(&store, RestoreTarget::Lsn(Lsn::ZERO)).await;
        assert!(matches!(before, Err(Error::BeforeBeginning { .. })));
    });
}

#[test]
fn every_record_can_be_the_first() {
    run(async {
        let (_, store) = archived(23).await;
        for from in 1..=23 {
            let disk = SimDisk::new(1);
            let (from, until) = (Lsn::new(from), RestoreTarget::Lsn(Lsn::new(23)));
            let archive = store.archive();
            let restored = archive.restore_on(&disk, DIR, Some(from), until);
            let oldest = restored.await.unwrap().oldest;
            assert!(oldest <= from);
            assert_eq!(
                segments(&disk)[0],
                oldest.get(),
                "no segment that is not needed"
            );
            let mut recovery = options()
                .start_at(from)
                .recover_on(&disk, DIR)
                .await
                .unwrap();
            assert_eq!(recovery.try_next().await.unwrap().unwrap().lsn, from);
            drop(recovery);
            assert_eq!(recover(&disk).await, numbers(oldest.get()..=23));
        }
    });
}

#[test]
fn a_batch_is_restored_whole_or_not_at_all() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        append(&wal, 1..=1).await;
        wal.append_batch(["two", "three", "four"]).await.unwrap();
        append(&wal, 5..=5).await;
        wal.close().await.unwrap();
        ship(&disk, &store).await.unwrap();
        for (until, last) in [(1, 1), (2, 1), (3, 1), (4, 4), (5, 5)] {
            let until = Lsn::new(until);
            let (disk, restored) = restore(&store, RestoreTarget::Lsn(until)).await.unwrap();
            assert_eq!(restored.end, Lsn::new(last), "until {until}");
            let recovery = options().recover_on(&disk, DIR).await.unwrap();
            assert_eq!(recovery.count().await as u64, last, "until {until}");
        }
    });
}

#[test]
fn a_batch_that_is_cut_off_at_the_start_of_a_log_leaves_an_empty_one() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        wal.append_batch(["one", "two", "three"]).await.unwrap();
        wal.close().await.unwrap();
        ship(&disk, &store).await.unwrap();
        assert!(
            restored_records(&store, RestoreTarget::Lsn(Lsn::new(2)))
                .await
                .is_empty()
        );
    });
}

#[test]
fn what_is_cut_off_is_not_in_the_files_either() {
    run(async {
        let (_, store) = archived(2).await;
        let (disk, _) = restore(&store, RestoreTarget::Lsn(Lsn::FIRST))
            .await
            .unwrap();
        let file = disk
            .read(format!("{DIR}/00000000000000000001.wal"))
            .unwrap();
        let end = 4096 + 20 + payload(1).len();
        assert!(file[end..].iter().all(|&byte| byte == 0));
    });
}

#[test]
fn an_archive_of_a_truncated_log_begins_where_that_did() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        append(&wal, 1..=20).await;
        wal.truncate_before(Lsn::new(15)).await.unwrap();
        let oldest = segments(&disk)[0];
        wal.close().await.unwrap();
        ship(&disk, &store).await.unwrap();
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await,
            numbers(oldest..=20)
        );
        let below = restore(&store, RestoreTarget::Lsn(Lsn::new(oldest - 1))).await;
        assert!(matches!(below, Err(Error::BeforeBeginning { .. })));
    });
}

#[test]
fn a_directory_that_holds_anything_is_refused_and_left_alone() {
    run(async {
        let (_, store) = archived(10).await;
        let disk = SimDisk::new(1);
        disk.write_file(format!("{DIR}/notes.txt"), b"mine".to_vec());
        let restored = store
            .archive()
            .restore_on(&disk, DIR, None, RestoreTarget::End)
            .await;
        assert!(
            matches!(&restored, Err(Error::NotEmpty { file, .. }) if file == "notes.txt"),
            "{restored:?}"
        );
        assert_eq!(disk.files(DIR), ["notes.txt"]);
        assert!(disk.remove_file(format!("{DIR}/notes.txt")));
        let restored = store
            .archive()
            .restore_on(&disk, DIR, None, RestoreTarget::End)
            .await;
        assert_eq!(restored.unwrap().end, Lsn::new(10));
    });
}

#[test]
fn a_directory_that_is_open_is_refused() {
    run(async {
        let (disk, store) = archived(10).await;
        let _wal = open(&disk).await;
        let restored = store
            .archive()
            .restore_on(&disk, DIR, None, RestoreTarget::End)
            .await;
        assert!(
            matches!(restored, Err(Error::Log(tidewal::Error::Locked { .. }))),
            "{restored:?}"
        );
    });
}

/// Restores with a power cut at each operation. Some of the volatile changes survive, in every combination.
#[test]
fn an_unfinished_restore_is_never_taken_for_a_log() {
    run(async {
        let (_, store) = archived(12).await;
        let (mut unfinished, mut finished) = (0, 0);
        for cut in 0.. {
            let disk = SimDisk::new(cut);
            disk.cut_power_at(cut);
            let restored = store
                .archive()
                .restore_on(&disk, DIR, None, RestoreTarget::End)
                .await;
            let is_through = !disk.is_off();
            for survival in survivals(&disk) {
                let disk = disk.fork();
                disk.restart(survival);
                match options().open_on(&disk, DIR).await {
                    Ok(wal) if disk.files(DIR).len() > 1 && wal.durable_lsn() > Lsn::ZERO => {
                        wal.close().await.unwrap();
                        assert_eq!(recover(&disk).await, numbers(1..=12));
                        finished += 1;
                    }
                    Ok(wal) => {
                        // Nothing was written yet: the directory is still empty.
                        assert_eq!(wal.durable_lsn(), Lsn::ZERO);
                        assert!(restored.is_err());
                        assert!(cut < 4, "operation {cut}, {survival:?}");
                    }
                    Err(tidewal::Error::UnfinishedRestore { dir, .. }) => {
                        assert_eq!(dir, std::path::Path::new(DIR));
                        restored_again(&disk, &store).await;
                        unfinished += 1;
                    }
                    Err(error) => panic!("operation {cut}, {survival:?}: {error}"),
                }
            }
            if is_through {
                restored.unwrap();
                break;
            }
        }
        assert!(unfinished > 20 && finished > 2, "{unfinished}, {finished}");
    });
}

/// Only another restore completes an unfinished one. Reading and repairing are refused.
async fn restored_again(disk: &SimDisk, store: &Store) {
    let refuses =
        |error: &tidewal::Error| matches!(error, tidewal::Error::UnfinishedRestore { .. });
    let before = disk.files(DIR);
    let dir = tidewal::tools::LogDir::on(disk, DIR);
    for depth in [Depth::Headers, Depth::Newest, Depth::Everything] {
        assert!(refuses(&dir.survey(depth).unwrap_err()), "{depth:?}");
    }
    assert!(refuses(&dir.plan_repair().unwrap_err()));
    assert!(refuses(&options().read_on(disk, DIR).await.unwrap_err()));
    assert!(refuses(&options().recover_on(disk, DIR).await.unwrap_err()));
    assert_eq!(disk.files(DIR), before);
    let restored = store
        .archive()
        .restore_on(disk, DIR, None, RestoreTarget::End)
        .await;
    assert_eq!(restored.unwrap().end, Lsn::new(12));
    assert_eq!(recover(disk).await, numbers(1..=12));
}

/// A restore removes what an interrupted restore has left, and no file of the user.
#[test]
fn an_unfinished_restore_with_a_file_of_a_user_is_left_alone() {
    run(async {
        let (_, store) = archived(12).await;
        let disk = SimDisk::new(1);
        disk.write_file(format!("{DIR}/RESTORING"), b"".to_vec());
        disk.write_file(format!("{DIR}/{:020}.wal", 1), b"a part".to_vec());
        disk.write_file(format!("{DIR}/notes.txt"), b"mine".to_vec());
        let before = disk.files(DIR);
        let restored = store
            .archive()
            .restore_on(&disk, DIR, None, RestoreTarget::End)
            .await;
        assert!(
            matches!(&restored, Err(Error::NotEmpty { file, .. }) if file == "notes.txt"),
            "{restored:?}"
        );
        let mut after = disk.files(DIR);
        after.retain(|name| name != "LOCK");
        assert_eq!(after, before);
    });
}

/// The root of a file system, and a file name that is not Unicode, which was overlooked.
#[cfg(unix)]
#[test]
fn regression_a_mount_root_is_restored_into_and_a_name_that_is_not_unicode_is_seen() {
    use std::os::unix::ffi::OsStrExt;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = std::sync::Arc::new(object_store::memory::InMemory::new());
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let wal = options().open(&log).await.unwrap();
        append(&wal, 1..=10).await;
        wal.close().await.unwrap();
        let wal = options().open(&log).await.unwrap();
        let archive = Archive::new(store, PREFIX);
        let archiver = Archiver::start(&wal, &archive, quick_real());
        archiver.unwrap().wait_caught_up().await.unwrap();
        let root = scratch.path().join("root");
        std::fs::create_dir_all(root.join("lost+found")).unwrap();
        let odd = root.join(std::ffi::OsStr::from_bytes(b"odd\xff"));
        std::fs::write(&odd, "mine").unwrap();
        let into = || archive.restore(&root, RestoreTarget::End);
        let refused = into().await;
        assert!(
            matches!(refused, Err(Error::NotEmpty { .. })),
            "{refused:?}"
        );
        std::fs::remove_file(&odd).unwrap();
        assert_eq!(into().await.unwrap().end, Lsn::new(10));
        let wal = options().open(&root).await.unwrap();
        assert_eq!(wal.durable_lsn(), Lsn::new(10));
    });
}

fn survivals(disk: &SimDisk) -> Vec<tidewal::sim::Survival> {
    use tidewal::sim::Survival::{Everything, Nothing, Pieces, Prefix, Random};
    let pieces = disk.volatile_pieces();
    match pieces {
        0..=4 => (0..1 << pieces).map(Pieces).collect(),
        _ => vec![Nothing, Everything, Random, Prefix(1), Prefix(pieces / 2)],
    }
}

/// `Archive::restore`: "If the future is dropped before it completes, the directory cannot be opened, or it is still
/// missing or empty because nothing was written yet."
///
/// `Archive::restore_from`: "The same as of restore."
///
/// `Archive::restore_on`: "The same as of restore."
#[test]
fn a_dropped_restore_leaves_no_log_and_frees_the_directory() {
    run(async {
        let (_, store) = archived(12).await;
        let calls_before = store.calls();
        drop(restore(&store, RestoreTarget::End).await);
        let calls = store.calls() - calls_before;
        for call in 0..calls {
            let (store, disk) = (store.fork().await, SimDisk::new(1));
            store.plan(call, crate::store::Fault::Hang);
            let archive = store.archive();
            let restoring = archive.restore_on(&disk, DIR, None, RestoreTarget::End);
            let limit = std::time::Duration::from_secs(1);
            assert!(tokio::time::timeout(limit, restoring).await.is_err());
            crate::helpers::settle().await;
            if disk.files(DIR).is_empty() {
                continue;
            }
            let opened = options().open_on(&disk, DIR).await;
            assert!(
                matches!(opened, Err(tidewal::Error::UnfinishedRestore { .. })),
                "call {call}"
            );
        }
    });
}

/// `Archive::contents`: "Cancel safe: it only reads."
///
/// `Archive::verify`: "Cancel safe: it only reads."
#[test]
fn a_look_at_the_archive_that_is_dropped_can_be_had_again() {
    run(async {
        let (_, store) = archived(12).await;
        let limit = std::time::Duration::from_secs(1);
        let mut dropped = 0;
        for call in 0..4 {
            let hanging = store.fork().await;
            hanging.plan(hanging.calls() + call, Fault::Hang);
            let looked = tokio::time::timeout(limit, hanging.archive().verify()).await;
            dropped += u32::from(looked.is_err());
            hanging.plan(hanging.calls(), Fault::Hang);
            let looked = tokio::time::timeout(limit, hanging.archive().contents()).await;
            dropped += u32::from(looked.is_err());
            hanging.archive().verify().await.unwrap();
            hanging.archive().contents().await.unwrap();
        }
        assert!(dropped > 0, "no future was dropped before it completed");
    });
}

/// `Archiver::wait_archived`: "Cancel safe: it only waits."
///
/// `Archiver::wait_caught_up`: "Cancel safe: it only waits."
#[test]
fn whoever_waits_for_the_archive_may_go_and_come_again() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let wal = open(&disk).await;
        append(&wal, 1..=12).await;
        store.plan(0, Fault::Hang);
        let archiver = start(&wal, &store, quick());
        let limit = std::time::Duration::from_secs(1);
        let waited = tokio::time::timeout(limit, archiver.wait_archived(Lsn::FIRST)).await;
        assert!(waited.is_err());
        let waited = tokio::time::timeout(limit, archiver.wait_caught_up()).await;
        assert!(waited.is_err());
        archiver.wait_archived(Lsn::FIRST).await.unwrap();
        archiver.wait_caught_up().await.unwrap();
        wal.close().await.unwrap();
    });
}

#[test]
fn a_real_directory_is_restored_and_read() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (log, copy) = (dir.path().join("a/log"), dir.path().join("b/copy"));
        let objects = dir.path().join("objects");
        std::fs::create_dir(&objects).unwrap();
        let local = object_store::local::LocalFileSystem::new_with_prefix(&objects);
        let store = std::sync::Arc::new(local.unwrap().with_fsync(true));
        let archive = Archive::new(store, PREFIX);
        let wal = options().open(&log).await.unwrap();
        let archiver = Archiver::start(&wal, &archive, quick_real()).unwrap();
        append(&wal, 1..=50).await;
        archiver.wait_caught_up().await.unwrap();
        wal.close().await.unwrap();
        let wal = options().open(&log).await.unwrap();
        let archiver = Archiver::start(&wal, &archive, quick_real()).unwrap();
        archiver.wait_caught_up().await.unwrap();
        drop((archiver, wal));
        let restoring = tokio::spawn(async move {
            let restored = archive.restore(&copy, RestoreTarget::End).await;
            restored.map(|restored| (restored, copy))
        });
        let (restored, copy) = restoring.await.unwrap().unwrap();
        assert_eq!(restored.end, Lsn::new(50));
        let mut reader = options().read(&copy).await.unwrap();
        for number in 1..=50 {
            let record = reader.try_next().await.unwrap().unwrap();
            assert_eq!(record.payload, payload(number));
        }
        assert!(reader.try_next().await.unwrap().is_none());
    });
}

fn quick_real() -> ArchiveOptions {
    ArchiveOptions::new()
}

#[test]
fn a_segment_of_many_parts_is_restored() {
    run(async {
        let (disk, store) = (SimDisk::new(1), Store::new());
        let options = options().segment_size(20 * 1024 * 1024);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        let record = |number: u8| vec![number; 3 * 1024 * 1024];
        for number in 1..=8 {
            wal.append(record(number)).await.unwrap();
        }
        let archiver = start(&wal, &store, quick());
        archiver.wait_caught_up().await.unwrap();
        let names = store.names().await;
        assert_eq!(
            names
                .iter()
                .filter(|name| name.contains("segments"))
                .count(),
            3
        );
        for last in 1..=6 {
            let (disk, restored) = restore(&store, RestoreTarget::Lsn(Lsn::new(last)))
                .await
                .unwrap();
            assert_eq!(restored.end, Lsn::new(last));
            let mut recovery = options.clone().recover_on(&disk, DIR).await.unwrap();
            for number in 1..=last {
                let found = recovery.try_next().await.unwrap().unwrap();
                assert_eq!(found.payload, record(u8::try_from(number).unwrap()));
            }
            assert!(recovery.try_next().await.unwrap().is_none());
        }
    });
}
