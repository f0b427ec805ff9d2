//! Unusable directories, and other files beside a log's files, on the real disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use tidewal::{Error, Lsn, Record, Wal};

use crate::helpers::{assert_records, payload};
use crate::support::options;

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
    assert_eq!(report.torn_tail, None);
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
    let kind = io::ErrorKind::NotADirectory;
    assert_fault(&error, "open the directory", &file, kind);
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
    // A reader works without a lock file.
    assert!(read_dir(&sealed).await.is_empty());
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
    let denied = io::ErrorKind::PermissionDenied;
    assert_not_made(&dir, denied).await;
    let error = options().read(&dir).await.unwrap_err();
    assert_fault(&error, "open the directory", &dir, denied);
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
        assert_fault(&error, "open", &segment, io::ErrorKind::IsADirectory);
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

/// Opens a log, rotates, truncates, closes and recovers it.
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

/// Everything below a directory except the lock file: files with their bytes, the rest by name.
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

/// The permissions of a path until this is dropped. Then its owner may do everything again.
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

async fn read_dir(dir: &Path) -> Vec<Record> {
    let reader = options().read(dir).await.unwrap();
    reader.try_collect().await.unwrap()
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
