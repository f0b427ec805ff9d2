//! What a builder makes, and what it leaves if it does not come to its end.

use std::path::Path;

use tidewal::import::LogBuilder;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Lsn};
use tokio_test::task;

use crate::helpers::{COPY, build, built, names, segments};
use crate::support::{options, run};

#[test]
fn what_is_built_is_the_log_that_was_taken_out() {
    run(async {
        let (disk, all) = (SimDisk::new(2), segments(24).await);
        assert!(all.len() > 2);
        build(&disk, &all).await.unwrap();
        assert_eq!(built(&disk).await.unwrap(), (1..=24).collect::<Vec<_>>());
        let survey =
            tidewal::tools::LogDir::on(&disk, COPY).survey(tidewal::tools::Depth::Everything);
        assert!(survey.unwrap().is_sound());
        let wal = options().open_on(&disk, COPY).await.unwrap();
        assert_eq!(wal.append("next").await.unwrap(), Lsn::new(25));
    });
}

/// The first one then says that what was before it was truncated.
#[test]
fn a_log_may_begin_with_any_segment() {
    run(async {
        let (disk, all) = (SimDisk::new(2), segments(24).await);
        build(&disk, &all[1..]).await.unwrap();
        let first = all[1].header.base.get();
        assert_eq!(
            built(&disk).await.unwrap(),
            (first..=24).collect::<Vec<_>>()
        );
    });
}

#[test]
fn what_was_written_behind_the_end_is_cleared() {
    run(async {
        let (disk, all) = (SimDisk::new(2), segments(24).await);
        let first = &all[0];
        let mut builder = LogBuilder::create_on(&disk, COPY).await.unwrap();
        builder.begin_segment(first.header).await.unwrap();
        builder.write(first.bytes.clone()).await.unwrap();
        let end = 4096 + 20 + crate::helpers::payload(1).len() as u64;
        builder.end_segment(Lsn::FIRST, end).await.unwrap();
        builder.finish().await.unwrap();
        assert_eq!(built(&disk).await.unwrap(), [1]);
        let file = disk.read(format!("{COPY}/{:020}.wal", 1)).unwrap();
        assert_eq!(file.len() as u64, first.header.capacity);
        assert!(
            file[usize::try_from(end).unwrap()..]
                .iter()
                .all(|&byte| byte == 0)
        );
    });
}

#[test]
fn a_segment_that_does_not_follow_is_refused() {
    run(async {
        let (disk, all) = (SimDisk::new(2), segments(24).await);
        let mut others = all.clone();
        others[1].header.predecessor.as_mut().unwrap().salt ^= 1;
        for wrong in [&others[..2], &[all[0].clone(), all[2].clone()]] {
            let refused = build(&disk, wrong).await.unwrap_err();
            assert!(matches!(refused, Error::Corrupt(_)), "{refused:?}");
        }
        let mut nameless = all.clone();
        nameless[1].header.predecessor = None;
        build(&disk, &nameless).await.unwrap();
        assert_eq!(
            built(&disk).await.unwrap().len(),
            24,
            "it got its predecessor"
        );
    });
}

#[test]
fn a_directory_that_holds_anything_or_is_open_is_refused() {
    run(async {
        let (disk, all) = (SimDisk::new(2), segments(24).await);
        let notes = format!("{COPY}/notes.txt");
        disk.write_file(&notes, b"mine".to_vec());
        let refused = build(&disk, &all).await.unwrap_err();
        assert!(
            matches!(&refused, Error::NotEmpty { dir, file, .. } if dir == Path::new(COPY) && file == "notes.txt"),
            "{refused:?}"
        );
        assert_eq!(names(&disk), ["notes.txt"]);
        assert!(disk.remove_file(&notes));
        let wal = options().open_on(&disk, COPY).await.unwrap();
        let refused = build(&disk, &all).await.unwrap_err();
        assert!(matches!(refused, Error::Locked { .. }), "{refused:?}");
        wal.close().await.unwrap();
        build(&disk, &all).await.unwrap();
    });
}

/// With the power cut at each operation: a whole log, or one that is unfinished and can be built again, or
/// nothing.
#[test]
fn an_unfinished_log_is_never_taken_for_one() {
    run(async {
        let all = segments(24).await;
        let (mut unfinished, mut finished) = (0, 0);
        for cut in 0.. {
            let disk = SimDisk::new(cut);
            disk.cut_power_at(cut);
            let outcome = build(&disk, &all).await;
            let prefixes = (0..=disk.volatile_changes()).map(Survival::Prefix);
            for (seed, survival) in prefixes.chain([Survival::Random; 4]).enumerate() {
                let disk = disk.fork();
                disk.reseed(seed as u64);
                disk.restart(survival);
                match built(&disk).await {
                    Ok(found) if outcome.is_ok() || !names(&disk).is_empty() => {
                        assert_eq!(found.len(), 24, "operation {cut}, {survival:?}");
                        finished += 1;
                    }
                    Ok(found) => assert!(found.is_empty()),
                    Err(Error::UnfinishedRestore { .. }) => {
                        build(&disk, &all).await.unwrap();
                        assert_eq!(built(&disk).await.unwrap().len(), 24);
                        unfinished += 1;
                    }
                    Err(error) => assert!(names(&disk).is_empty(), "operation {cut}: {error}"),
                }
            }
            if outcome.is_ok() {
                break;
            }
        }
        assert!(unfinished > 20 && finished > 2, "{unfinished}, {finished}");
    });
}

/// `LogBuilder::create`: "If the future is dropped before it completes, the directory may be left marked as an
/// unfinished restore."
///
/// `LogBuilder::create_on`: "Like create."
///
/// `LogBuilder::begin_segment`: "If the future of this or of another step is dropped before it completes, the
/// step may or may not be carried out: start again with another builder."
///
/// `LogBuilder::write`: "Like `begin_segment`."
///
/// `LogBuilder::end_segment`: "Like `begin_segment`."
///
/// `LogBuilder::finish`: "If the future is dropped before it completes, the directory may or may not become
/// a log."
#[test]
fn a_step_that_is_dropped_leaves_no_log_or_a_whole_one() {
    run(async {
        let all = segments(24).await;
        for polls in 0..200 {
            let disk = SimDisk::new(2);
            disk.set_sync_time(std::time::Duration::from_millis(1));
            let mut building = task::spawn(build(&disk, &all));
            let mut is_done = false;
            for _ in 0..polls {
                is_done = is_done || building.poll().is_ready();
                if is_done {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            drop(building);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            if !is_done && !disk.files(COPY).iter().any(|name| name == "RESTORING") {
                assert!(names(&disk).is_empty() || built(&disk).await.unwrap().len() == 24);
            } else if !is_done {
                let opened = options().open_on(&disk, COPY).await;
                assert!(
                    matches!(opened, Err(Error::UnfinishedRestore { .. })),
                    "{polls}"
                );
            }
            if is_done {
                return;
            }
            build(&disk, &all).await.err();
            assert_eq!(built(&disk).await.unwrap().len(), 24, "{polls}");
        }
        panic!("it never ends");
    });
}

#[test]
fn a_real_directory_is_built() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let all = run(segments(24));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er");
    runtime.block_on(async {
        let mut builder = LogBuilder::create(&path).await.unwrap();
        for segment in &all {
            builder.begin_segment(segment.header).await.unwrap();
            builder.write(segment.bytes.clone()).await.unwrap();
            let end = segment.bytes.len() as u64;
            builder.end_segment(segment.last, end).await.unwrap();
        }
        assert!(matches!(
            options().open(&path).await,
            Err(Error::Locked { .. })
        ));
        builder.finish().await.unwrap();
        let wal = options().open(&path).await.unwrap();
        assert_eq!(wal.durable_lsn(), Lsn::new(24));
    });
}
