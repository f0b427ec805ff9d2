//! A directory that was moved after its log was opened.

use std::fs;
use std::os::unix::fs::symlink;

use tidewal::Lsn;

use crate::helpers::{append, assert_opens, copy_dir, in_dir, options};

/// The only test here that uses the working directory of the process.
#[test]
fn regression_a_relative_path_is_resolved_once() {
    in_dir(async |dir| {
        fs::create_dir(&dir).unwrap();
        std::env::set_current_dir(dir.parent().unwrap()).unwrap();
        let wal = options().open("log").await.unwrap();
        append(&wal, 1..=5).await;
        std::env::set_current_dir("/").unwrap();
        append(&wal, 6..=60).await;
        wal.truncate_before(Lsn::new(30)).await.unwrap();
        append(&wal, 61..=80).await;
        wal.close().await.unwrap();
        assert!(!std::path::Path::new("/log").exists());
        assert_opens(&dir, 30..=80).await;
    });
}

#[test]
fn regression_a_renamed_directory_stays_the_logs() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=5).await;
        let renamed = dir.with_file_name("renamed");
        fs::rename(&dir, &renamed).unwrap();
        append(&wal, 6..=60).await;
        wal.truncate_before(Lsn::new(30)).await.unwrap();
        wal.close().await.unwrap();
        assert!(!dir.exists());
        assert_opens(&renamed, 30..=60).await;
    });
}

#[test]
fn regression_a_directory_that_is_exchanged_for_its_copy_is_another_log() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=30).await;
        let (copy, away) = (dir.with_file_name("copy"), dir.with_file_name("away"));
        copy_dir(&dir, &copy);
        fs::rename(&dir, &away).unwrap();
        fs::rename(&copy, &dir).unwrap();
        let other = options().open(&dir).await.unwrap();
        for number in 31..=60 {
            append(&wal, number..=number).await;
            append(&other, number..=number).await;
        }
        wal.truncate_before(Lsn::new(16)).await.unwrap();
        append(&wal, 61..=90).await;
        append(&other, 61..=70).await;
        wal.close().await.unwrap();
        other.close().await.unwrap();
        assert_opens(&away, 16..=90).await;
        assert_opens(&dir, 1..=70).await;
    });
}

#[test]
fn regression_a_link_that_is_turned_leads_to_another_log() {
    in_dir(async |dir| {
        let current = dir.with_file_name("current");
        let next = dir.with_file_name("next");
        symlink(&dir, &current).unwrap();
        fs::create_dir(&dir).unwrap();
        let wal = options().open(&current).await.unwrap();
        append(&wal, 1..=5).await;
        fs::create_dir(&next).unwrap();
        fs::remove_file(&current).unwrap();
        symlink(&next, &current).unwrap();
        let other = options().open(&current).await.unwrap();
        for number in 1..=40 {
            append(&other, number..=number).await;
            append(&wal, number + 5..=number + 5).await;
        }
        wal.close().await.unwrap();
        other.close().await.unwrap();
        assert_opens(&dir, 1..=45).await;
        assert_opens(&next, 1..=40).await;
    });
}
