//! Irregular files where `WalOptions::lock` expects the log.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use tidewal::Lsn;
use tidewal_testing::support::{options, within_a_minute};

type Make = fn(&Path) -> bool;

const THINGS: [(&str, Make); 4] = [
    ("a FIFO", |path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        made.is_ok_and(|status| status.success())
    }),
    ("a socket", |path| UnixListener::bind(path).is_ok()),
    ("a directory", |path| std::fs::create_dir(path).is_ok()),
    ("a symbolic link", |path| symlink("nowhere", path).is_ok()),
];

/// `real_directory` has the same for `open`, `recover` and `read`.
#[test]
fn locking_a_directory_neither_follows_nor_waits_for_what_is_no_regular_file() {
    within_a_minute(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for (what, make) in THINGS {
            for name in ["00000000000000000001.wal", "LOCK"] {
                let dir = tempfile::tempdir().unwrap();
                if !make(&dir.path().join(name)) {
                    println!("skipped: this user cannot make {what}");
                    continue;
                }
                let recovered = runtime.block_on(async {
                    let locked = options().lock(dir.path()).await?;
                    locked.recover(Lsn::FIRST).await.map(drop)
                });
                let error = recovered.unwrap_err();
                let mut text = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    text = format!("{text}: {cause}");
                    source = cause.source();
                }
                assert!(text.contains(what) && text.contains(name), "{text}");
            }
        }
    });
}
