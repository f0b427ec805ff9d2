//! Changes that other programs make to the directory of an open log, on the simulated disk.
//! (`real_directory` does so on the real disk.)

use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn};
use tidewal_testing::harness::outsiders;
use tidewal_testing::support::{DIR, options, run};

#[test]
fn nothing_acknowledged_is_lost_to_others() {
    outsiders::nothing_acknowledged_is_lost_to_others();
}

/// Not only with the next append, whose outcome would then be unknown.
#[test]
fn an_idle_log_notices_that_its_segment_or_its_directory_is_gone() {
    for remove_all in [false, true] {
        run(async {
            let disk = SimDisk::new(1);
            let wal = options().open_on(&disk, DIR).await.unwrap();
            wal.append("kept").await.unwrap();
            match remove_all {
                true => disk.remove_dir(DIR).unwrap(),
                false => assert!(disk.remove_file(format!("{DIR}/00000000000000000001.wal"))),
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            let error = wal.append("lost").await.unwrap_err();
            assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
        });
    }
}

#[test]
fn a_backup_of_hard_links_is_not_changed_by_going_on() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for _ in 0..40 {
            wal.append(vec![1; 1000]).await.unwrap();
        }
        wal.close().await.unwrap();
        let names = disk.files(DIR);
        for name in &names {
            disk.hard_link(format!("{DIR}/{name}"), format!("backup/{name}"))
                .unwrap();
        }
        let backup = || names.iter().map(|name| disk.read(format!("backup/{name}")));
        let before: Vec<_> = backup().collect();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for round in 1..=4 {
            for _ in 0..20 {
                wal.append(vec![2; 1000]).await.unwrap();
            }
            wal.truncate_before(Lsn::new(round * 20)).await.unwrap();
        }
        wal.close().await.unwrap();
        assert!(before.into_iter().eq(backup()), "the backup was changed");
    });
}
