//! Hard-link backups.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tidewal::Lsn;

use crate::helpers::{append, assert_opens, in_dir, options};

/// Links all files, like `cp -al`.
fn link_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::hard_link(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn regression_a_backup_of_hard_links_stays_as_it_was() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=50).await;
        wal.close().await.unwrap();
        let backup = dir.with_file_name("backup");
        link_all(&dir, &backup);
        let before = contents(&backup);

        let wal = options().open(&dir).await.unwrap();
        append(&wal, 51..=70).await;
        wal.truncate_before(Lsn::new(33)).await.unwrap();
        append(&wal, 71..=200).await;
        wal.truncate_before(Lsn::new(150)).await.unwrap();
        append(&wal, 201..=250).await;
        wal.close().await.unwrap();

        assert!(before == contents(&backup), "the backup was changed");
        assert_opens(&dir, 150..=250).await;
        assert_opens(&backup, 1..=50).await;
    });
}

#[test]
fn a_log_that_was_not_closed_can_be_backed_up_by_hard_links_too() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=20).await;
        let killed = dir.with_file_name("killed");
        crate::helpers::copy_dir(&dir, &killed);
        wal.close().await.unwrap();

        let backup = dir.with_file_name("backup");
        link_all(&killed, &backup);
        let before = contents(&backup);
        assert_opens(&killed, 1..=20).await;
        let wal = options().open(&killed).await.unwrap();
        append(&wal, 21..=60).await;
        wal.close().await.unwrap();
        assert!(before == contents(&backup), "the backup was changed");
        assert_opens(&killed, 1..=60).await;
        assert_opens(&backup, 1..=20).await;
    });
}
