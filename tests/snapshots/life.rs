//! The life of a snapshot: written, listed, read, removed.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tidewal::sim::{SimDisk, Survival};
use tidewal::snapshot::{SnapshotError, SnapshotState};
use tidewal::{Error, Lsn, Wal};
use tokio_test::assert_pending;

use crate::helpers::{contents, lsn, open, put, read_all, small_log, write};
use tidewal_testing::support::{DIR, options, run, within_a_minute};

#[test]
fn contents_of_any_length_come_back() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        for (lsn, len) in [(1, 0), (2, 1), (3, 3 << 20)] {
            let bytes = vec![7; len];
            let written = snapshots.write(Lsn::new(lsn), put(bytes.clone()));
            let written = written.await.unwrap();
            assert_eq!((written.lsn(), written.len()), (Lsn::new(lsn), len as u64));
            let (read, found) = snapshots.read(Lsn::new(lsn), read_all).await.unwrap();
            assert_eq!((read, found), (written, bytes));
        }
        wal.close().await.unwrap();
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        let listed = locked.snapshots().await.unwrap();
        let lsns: Vec<_> = listed.iter().map(|file| file.lsn.get()).collect();
        assert_eq!(lsns, [1, 2, 3]);
        let (_, found) = locked.read_snapshot(lsn(3), read_all).await.unwrap();
        assert_eq!(found, vec![7; 3 << 20]);
    });
}

/// The same on the real disk, with threads and a complete start.
#[test]
fn a_service_starts_from_snapshot_and_log() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            for _ in 0..100 {
                wal.append(vec![1; 1000]).await.unwrap();
            }
            let bytes = contents(lsn(90), true);
            let snapshots = wal.snapshots();
            snapshots.reserve(1 << 20).await.unwrap();
            let snapshot = snapshots.write(lsn(90), put(bytes.clone())).await.unwrap();
            wal.truncate_before(snapshot.lsn().next()).await.unwrap();
            assert_eq!(snapshots.remove_before(&snapshot).await.unwrap(), 0);
            wal.close().await.unwrap();

            let locked = options().lock(dir.path()).await.unwrap();
            let newest = locked.snapshots().await.unwrap().pop().unwrap();
            let (read, found) = locked.read_snapshot(newest.lsn, read_all).await.unwrap();
            assert_eq!((&read, found), (&snapshot, bytes));
            let mut recovery = locked.recover(read.lsn().next()).await.unwrap();
            assert_eq!(
                recovery.try_next().await.unwrap().unwrap().lsn,
                Lsn::new(91)
            );
            let wal = recovery.into_wal().await.unwrap();
            wal.append("more").await.unwrap();
            wal.close().await.unwrap();
        });
    });
}

#[test]
fn a_locked_directory_is_locked() {
    run(async {
        let disk = SimDisk::new(1);
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        let second = options().lock_on(&disk, DIR).await;
        assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
        let recovery = locked.recover(Lsn::FIRST).await.unwrap();
        let second = options().recover_on(&disk, DIR).await;
        assert!(matches!(second, Err(Error::Locked { .. })));
        let wal = recovery.into_wal().await.unwrap();
        assert_eq!(wal.append("first").await.unwrap(), Lsn::FIRST);
        drop(wal);
        drop(options().lock_on(&disk, DIR).await.unwrap());
        options().open_on(&disk, DIR).await.unwrap();
    });
}

#[test]
fn a_snapshot_never_covers_what_is_not_durable() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        for asked in [0, 1] {
            let refused = write(&wal.snapshots(), lsn(asked)).await;
            let Err(SnapshotError::NotDurable { durable, .. }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(durable, Lsn::ZERO);
        }
        wal.append("x").await.unwrap();
        write(&wal.snapshots(), lsn(1)).await.unwrap();
        let refused = write(&wal.snapshots(), lsn(2)).await;
        assert!(matches!(refused, Err(SnapshotError::NotDurable { .. })));
    });
}

#[test]
fn a_second_snapshot_of_an_lsn_is_the_first() {
    run(async {
        let (_, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        let first = write(&snapshots, lsn(2)).await.unwrap();
        let again = snapshots.write(lsn(2), |_| panic!("not called"));
        assert_eq!(again.await.unwrap(), first);
    });
}

#[test]
fn older_ones_go_and_the_largest_becomes_the_spare() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        for number in 1..=3 {
            write(&snapshots, lsn(number)).await.unwrap();
        }
        disk.write_file_for_test("00000000000000000002.snapshot~");
        let (newest, _) = snapshots.read(lsn(3), read_all).await.unwrap();
        assert_eq!(snapshots.remove_before(&newest).await.unwrap(), 2);
        let files = disk.files(DIR);
        assert!(files.contains(&"snapshot.spare".to_owned()), "{files:?}");
        assert!(files.contains(&"00000000000000000002.snapshot~".to_owned()));
        assert_eq!(snapshots.list().await.unwrap().len(), 1);
        assert_eq!(snapshots.remove_before(&newest).await.unwrap(), 0);
    });
}

/// Two concurrent snapshots take turns, because they share one file.
#[test]
fn two_at_once_take_turns() {
    run(async {
        let (_, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        let both = tokio::join!(write(&snapshots, lsn(1)), write(&snapshots, lsn(2)));
        both.0.unwrap();
        both.1.unwrap();
        for number in [1, 2] {
            let (_, found) = snapshots.read(lsn(number), read_all).await.unwrap();
            assert_eq!(found, contents(lsn(number), false));
        }
    });
}

#[test]
fn what_the_function_says_is_handed_on() {
    run(async {
        let (_, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        let failed = snapshots.write(lsn(1), |_| Err(io::Error::other("no idea")));
        let failed = failed.await;
        let Err(SnapshotError::Contents(cause)) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(cause.to_string(), "no idea");
        let panicked = snapshots.write(lsn(1), |output| {
            output.write_all(&[1; 100]).unwrap();
            panic!("planned")
        });
        let panicked = panicked.await;
        assert!(
            matches!(panicked, Err(SnapshotError::Interrupted)),
            "{panicked:?}"
        );
        assert_eq!(snapshots.list().await.unwrap(), []);
        write(&snapshots, lsn(1)).await.unwrap();
        let refused = snapshots.read(lsn(1), |_| -> io::Result<()> {
            Err(io::Error::other("no"))
        });
        assert!(matches!(refused.await, Err(SnapshotError::Contents(_))));
        let missing = snapshots.read(lsn(2), read_all).await;
        assert!(matches!(missing, Err(SnapshotError::Missing { .. })));
    });
}

/// If the future is dropped after its first poll, the snapshot is still made, as the documentation
/// says.
#[test]
fn a_dropped_call_goes_on() {
    run(async {
        let (_, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        let mut call = Box::pin(write(&snapshots, lsn(1)));
        assert!(futures::poll!(call.as_mut()).is_pending());
        drop(call);
        write(&snapshots, lsn(2)).await.unwrap();
        let (_, found) = snapshots.read(lsn(1), read_all).await.unwrap();
        assert_eq!(found, contents(lsn(1), false));
    });
}

/// On a thread: a log that closes while a snapshot is being written ends it, and `close` returns
/// after that. Earlier, the directory stayed locked after `close` had returned.
#[test]
fn regression_closing_ends_a_snapshot_under_way_and_waits_for_it() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            wal.append("x").await.unwrap();
            let snapshots = wal.snapshots();
            let (started, has_started) = tokio::sync::oneshot::channel();
            let (closed, is_closed) = std::sync::mpsc::channel();
            let writer = snapshots.clone();
            let writing = tokio::spawn(async move {
                let write = writer.write(lsn(1), move |output| {
                    started.send(()).unwrap();
                    is_closed.recv().unwrap();
                    output.write_all(&vec![1; 3 << 20])
                });
                write.await
            });
            has_started.await.unwrap();
            let mut closing = tokio_test::task::spawn(wal.clone().close());
            assert_pending!(closing.poll());
            has_ended(&wal).await;
            let lock = std::fs::File::open(dir.path().join("LOCK")).unwrap();
            assert!(lock.try_lock().is_err(), "the directory is still worked on");
            assert_pending!(closing.poll());
            closed.send(()).unwrap();
            closing.await.unwrap();
            lock.try_lock().unwrap();
            drop(lock);
            let ended = writing.await.unwrap();
            assert!(matches!(ended, Err(SnapshotError::Closed)), "{ended:?}");
            let wal = options().open(dir.path()).await.unwrap();
            assert_eq!(wal.snapshots().list().await.unwrap(), []);
            let late = snapshots.list().await;
            assert!(matches!(late, Err(SnapshotError::Closed)), "{late:?}");
        });
    });
}

/// Waits until the writer has ended.
async fn has_ended(wal: &Wal) {
    let mut durable = wal.subscribe_durable();
    while durable.next().await.is_some() {}
}

/// The promise of a handle that does not keep the log open.
#[test]
fn the_handle_does_not_keep_the_log_open() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        drop(wal);
        let wal = open(&disk).await;
        let late = write(&snapshots, lsn(1)).await;
        assert!(matches!(late, Err(SnapshotError::Closed)), "{late:?}");
        write(&wal.snapshots(), lsn(1)).await.unwrap();
    });
}

/// Neither recovery nor a truncation nor a start takes a snapshot for a file of the log.
#[test]
fn the_log_leaves_snapshots_alone() {
    run(async {
        let (disk, wal) = small_log(1).await;
        write(&wal.snapshots(), lsn(2)).await.unwrap();
        wal.snapshots().reserve(10_000).await.unwrap();
        for _ in 0..200 {
            wal.append(vec![2; 1000]).await.unwrap();
        }
        wal.truncate_before(lsn(150)).await.unwrap();
        wal.close().await.unwrap();
        let wal = open(&disk).await;
        let listed = wal.snapshots().list().await.unwrap();
        assert_eq!(listed[0].state, SnapshotState::Whole { len: 700 });
        assert!(disk.files(DIR).contains(&"snapshot.spare".to_owned()));
    });
}

/// Memory is bounded by a chunk: contents go to the disk while the function writes.
#[test]
fn contents_go_to_the_disk_while_they_are_written() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let (lengths, watched) = (Arc::new(Mutex::new(Vec::new())), disk.clone());
        let noted = Arc::clone(&lengths);
        let snapshots = wal.snapshots();
        let write = snapshots.write(lsn(1), move |output| {
            for _ in 0..4 {
                output.write_all(&vec![1; 1 << 20])?;
                let file = watched.read(format!("{DIR}/snapshot.spare")).unwrap();
                noted.lock().unwrap().push(file.len() >> 20);
            }
            Ok(())
        });
        write.await.unwrap();
        assert_eq!(*lengths.lock().unwrap(), [1, 2, 3, 4]);
        disk.restart(Survival::Nothing);
        let locked = options().lock_on(&disk, DIR).await.unwrap();
        locked.read_snapshot(lsn(1), read_all).await.unwrap();
    });
}

trait WriteFile {
    fn write_file_for_test(&self, name: &str);
}

impl WriteFile for SimDisk {
    fn write_file_for_test(&self, name: &str) {
        self.write_file(format!("{DIR}/{name}"), vec![1; 10]);
    }
}

#[test]
fn options_are_checked_first() {
    run(async {
        let disk = SimDisk::new(1);
        let refused = Wal::options().segment_size(1).lock_on(&disk, DIR).await;
        assert!(matches!(refused, Err(Error::InvalidOptions { .. })));
        assert!(disk.files(DIR).is_empty());
    });
}

/// A file that was removed after the directory was listed and before it was opened.
#[test]
fn a_file_that_goes_while_it_is_listed_is_passed_over() {
    run(async {
        let (disk, wal) = small_log(1).await;
        let snapshots = wal.snapshots();
        write(&snapshots, lsn(1)).await.unwrap();
        write(&snapshots, lsn(2)).await.unwrap();
        disk.fail(tidewal::sim::Operation::Open, 0, io::ErrorKind::NotFound);
        let listed = snapshots.list().await.unwrap();
        let lsns: Vec<_> = listed.iter().map(|file| file.lsn.get()).collect();
        assert_eq!(lsns, [2]);
    });
}

/// The file is removed while it is read. Otherwise the next snapshot would be written into it.
#[test]
fn a_snapshot_that_is_being_read_is_not_written_over() {
    within_a_minute(|| {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let wal = options().open(dir.path()).await.unwrap();
            for _ in 0..3 {
                wal.append("record").await.unwrap();
            }
            let snapshots = wal.snapshots();
            let large = |number| put(contents(lsn(number), true));
            snapshots.write(lsn(1), large(1)).await.unwrap();
            let (begins, begun) = std::sync::mpsc::channel();
            let (goes_on, go_on) = std::sync::mpsc::channel::<()>();
            let reader = snapshots.clone();
            let reading = tokio::spawn(async move {
                let read = reader.read(lsn(1), move |input| {
                    let mut first = [0; 8];
                    io::Read::read_exact(input, &mut first)?;
                    begins.send(()).unwrap();
                    go_on.recv().unwrap();
                    Ok([first.to_vec(), read_all(input)?].concat())
                });
                read.await
            });
            begun.recv().unwrap();
            let second = snapshots.write(lsn(2), large(2)).await.unwrap();
            assert_eq!(snapshots.remove_before(&second).await.unwrap(), 1);
            snapshots.write(lsn(3), large(3)).await.unwrap();
            goes_on.send(()).unwrap();
            let (_, found) = reading.await.unwrap().unwrap();
            assert!(found == contents(lsn(1), true));
        });
    });
}
