//! Files that are removed, replaced or shortened while a log is open: no lost record is
//! acknowledged.

use std::fs;
use std::path::Path;

use tidewal::{Durability, Error};

use crate::helpers::{another_process, append, assert_opens, in_dir, open_segment, options, text};

#[test]
fn regression_no_append_into_a_removed_directory_is_acknowledged() {
    assert_noticed("was removed", |dir| fs::remove_dir_all(dir).unwrap());
}

#[test]
fn regression_no_append_into_a_removed_segment_is_acknowledged() {
    assert_noticed("was removed", |dir| {
        fs::remove_file(open_segment(dir)).unwrap();
    });
}

#[test]
fn no_append_into_a_segment_that_was_renamed_is_acknowledged() {
    assert_noticed("was removed or renamed", |dir| {
        fs::rename(open_segment(dir), dir.join("elsewhere")).unwrap();
    });
}

#[test]
fn no_append_into_a_segment_that_was_exchanged_is_acknowledged() {
    assert_noticed("another file took its name", |dir| {
        let copy = dir.join("copy");
        fs::copy(open_segment(dir), &copy).unwrap();
        fs::rename(copy, open_segment(dir)).unwrap();
    });
}

#[test]
fn no_append_into_a_segment_that_was_cut_short_is_acknowledged() {
    assert_noticed("was cut short", |dir| {
        let file = fs::File::options().write(true).open(open_segment(dir));
        file.unwrap().set_len(4096).unwrap();
    });
}

/// Checks that no append of any durability is acknowledged after `harm`, and that the error says
/// why.
fn assert_noticed(reason: &str, harm: impl Fn(&Path)) {
    for durability in [Durability::Durable, Durability::Written] {
        in_dir(async |dir| {
            let wal = options().open(&dir).await.unwrap();
            append(&wal, 1..=3).await;
            harm(&dir);
            let error = wal.append_with("lost", durability).await.unwrap_err();
            assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
            assert!(text(&error).contains(reason), "{}", text(&error));
            for _ in 0..10 {
                let error = wal.append_with("lost", durability).await.unwrap_err();
                assert!(matches!(error, Error::Poisoned(_)), "{error:?}");
                assert!(text(&error).contains(reason), "{}", text(&error));
            }
        });
    }
}

#[test]
fn regression_removing_the_lock_file_lets_no_other_process_in() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=5).await;
        fs::remove_file(dir.join("LOCK")).unwrap();
        let said = another_process(&dir, &[]);
        assert!(said.contains("is in use"), "{said}");
        let said = another_process(&dir, &[]);
        assert!(said.contains("is in use"), "{said}");
        append(&wal, 6..=40).await;
        wal.close().await.unwrap();
        assert_opens(&dir, 1..=40).await;
    });
}

#[test]
fn removing_an_older_segment_is_damage_that_the_next_recovery_names() {
    in_dir(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, 1..=30).await;
        let mut segments: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
            .collect();
        segments.sort();
        assert!(segments.len() > 2);
        fs::remove_file(&segments[1]).unwrap();
        append(&wal, 31..=32).await;
        wal.close().await.unwrap();
        let error = options().open(&dir).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    });
}
