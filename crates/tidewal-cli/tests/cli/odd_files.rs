//! Irregular files with the name of one of the log's files: no command opens them, follows them or
//! waits for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::helpers::{Log, Ran, command};

type Thing = (&'static str, fn(&Path) -> bool);

const THINGS: [Thing; 5] = [
    ("a FIFO", |path| make("mkfifo", &[path.to_str().unwrap()])),
    ("a socket", |path| UnixListener::bind(path).is_ok()),
    ("a directory", |path| fs::create_dir(path).is_ok()),
    ("a symbolic link", |path| symlink("elsewhere", path).is_ok()),
    ("a device", |path| {
        make("mknod", &[path.to_str().unwrap(), "c", "1", "3"])
    }),
];

fn make(program: &str, arguments: &[&str]) -> bool {
    let made = Command::new(program).args(arguments).status();
    made.is_ok_and(|status| status.success())
}

/// Runs a command that must not wait for anything.
fn at_once(arguments: &[&str]) -> Ran {
    let mut child = command(arguments).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{arguments:?} waits");
        }
        std::thread::yield_now();
    }
    child.wait_with_output().unwrap().into()
}

/// The commands that read the log, and their arguments besides its directory.
const READING: [&[&str]; 5] = [
    &["inspect"],
    &["verify"],
    &["dump"],
    &["repair"],
    &["append"],
];

fn run(arguments: &[&str], log: &Log) -> Ran {
    at_once(&[&arguments[..1], &[log.path()], &arguments[1..]].concat())
}

#[test]
fn a_segment_that_is_no_regular_file_is_named_at_once_by_each_command() {
    for (what, make) in THINGS {
        let log = Log::make();
        let segment = log.segments().remove(1);
        fs::remove_file(&segment).unwrap();
        if !make(&segment) {
            println!("skipped: this user cannot make {what}");
            continue;
        }
        for arguments in READING {
            let ran = run(arguments, &log);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_ne!(ran.code, 0, "{arguments:?}, {what}: {said}");
            let name = segment.file_name().unwrap().to_str().unwrap();
            assert!(
                said.contains(what) && said.contains(name),
                "{arguments:?}: {said}"
            );
        }
    }
}

#[test]
fn a_lock_file_that_is_no_regular_file_is_named_at_once_by_each_command() {
    for (what, make) in THINGS {
        let log = Log::make();
        let lock = log.dir.join("LOCK");
        fs::remove_file(&lock).unwrap();
        if !make(&lock) {
            println!("skipped: this user cannot make {what}");
            continue;
        }
        for arguments in READING {
            let ran = run(arguments, &log);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_ne!(ran.code, 0, "{arguments:?}, {what}: {said}");
            assert!(said.contains("LOCK") && said.contains(what), "{said}");
        }
    }
}

/// The spare is not needed, so it does not prevent opening.
#[test]
fn a_spare_that_is_no_regular_file_is_passed_over_by_each_command() {
    for (what, make) in THINGS {
        let log = Log::make();
        if !make(&log.dir.join("00000000000000000007.spare")) {
            println!("skipped: this user cannot make {what}");
            continue;
        }
        for arguments in READING {
            let ran = run(arguments, &log);
            assert_eq!(ran.code, 0, "{arguments:?}, {what}: {}", ran.stderr);
        }
    }
}

/// `bench` writes into a directory of its own, and `man` writes pages into one.
#[test]
fn what_is_no_directory_is_refused_at_once_by_those_that_write_into_one() {
    for (what, make) in THINGS {
        let log = Log::empty();
        let path = log.dir.join("thing");
        if what == "a directory" || !make(&path) {
            println!("skipped: {what}");
            continue;
        }
        let path = path.to_str().unwrap();
        for arguments in [["bench", "--dir", path], ["man", "--dir", path]] {
            at_once(&arguments).assert_failed(2, "cannot write");
        }
    }
}

#[cfg(feature = "archive")]
mod archived {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{THINGS, at_once};
    use crate::helpers::{Log, Ran, tidewal};

    /// A log, an archive of it, and room for more.
    struct Shipped {
        log: Log,
        root: tempfile::TempDir,
    }

    impl Shipped {
        fn make() -> Self {
            let (log, root) = (Log::make(), tempfile::tempdir().unwrap());
            let shipped = Self { log, root };
            let store = shipped.path("store");
            tidewal(&["archive", "ship", shipped.log.path(), &store]).assert_ok();
            shipped
        }

        fn path(&self, name: &str) -> String {
            self.root.path().join(name).to_str().unwrap().to_owned()
        }

        fn store(&self) -> String {
            self.path("store")
        }

        /// The file of an entry of the manifest.
        fn entry(&self, number: usize) -> PathBuf {
            Path::new(&self.store()).join(format!("manifest/{number:020}"))
        }

        /// The file that the next entry would be.
        fn next_entry(&self) -> PathBuf {
            let entries = fs::read_dir(self.entry(1).parent().unwrap()).unwrap();
            self.entry(entries.count() + 1)
        }

        /// The first part of the newest segment.
        fn newest_part(&self) -> PathBuf {
            let segments = fs::read_dir(Path::new(&self.store()).join("segments")).unwrap();
            let newest = segments.map(|segment| segment.unwrap().path()).max();
            newest.unwrap().join("0000")
        }

        /// Ships the log as it is now to a new place.
        fn ship(&self) -> Ran {
            let store = self.path("other");
            at_once(&["archive", "ship", self.log.path(), &store])
        }

        fn restore(&self, dir: &str) -> Ran {
            at_once(&["restore", &self.store(), &self.path(dir)])
        }
    }

    fn each_thing(check: impl Fn(&str, fn(&Path) -> bool)) {
        THINGS.iter().for_each(|(what, make)| check(what, *make));
    }

    /// Puts an irregular file in the place of a file, if this user can create it.
    fn replace(path: &Path, what: &str, make: fn(&Path) -> bool) -> bool {
        // A spare does not have to exist.
        let _ = fs::remove_file(path);
        let is_made = make(path);
        if !is_made {
            println!("skipped: this user cannot make {what}");
        }
        is_made
    }

    #[test]
    fn a_log_with_an_odd_segment_or_lock_is_not_shipped() {
        each_thing(|what, make| {
            let shipped = Shipped::make();
            let segment = shipped.log.segments().remove(1);
            if replace(&segment, what, make) {
                let name = segment.file_name().unwrap().to_str().unwrap();
                assert!(shipped.ship().assert_failed(2, what).stderr.contains(name));
            }
            let shipped = Shipped::make();
            if replace(&shipped.log.dir.join("LOCK"), what, make) {
                assert!(
                    shipped
                        .ship()
                        .assert_failed(2, what)
                        .stderr
                        .contains("LOCK")
                );
            }
        });
    }

    #[test]
    fn a_log_with_an_odd_spare_is_shipped() {
        each_thing(|what, make| {
            let shipped = Shipped::make();
            let spare = shipped.log.dir.join("00000000000000000007.spare");
            if replace(&spare, what, make) {
                let ran = shipped.ship();
                assert!(ran.assert_ok().text().contains("shipped 3 segments"));
            }
        });
    }

    /// A restore neither follows nor replaces an irregular file in its directory.
    #[test]
    fn nothing_is_restored_over_what_is_in_the_way() {
        each_thing(|what, make| {
            let shipped = Shipped::make();
            let names = [
                "00000000000000000001.wal",
                "00000000000000000007.spare",
                "LOCK",
            ];
            for (number, name) in names.iter().enumerate() {
                let dir = format!("copy{number}");
                fs::create_dir(shipped.path(&dir)).unwrap();
                let path = Path::new(&shipped.path(&dir)).join(name);
                if !replace(&path, what, make) {
                    continue;
                }
                shipped.restore(&dir).assert_failed(2, name);
                let left = fs::read_dir(shipped.path(&dir)).unwrap().count();
                assert!(left <= 2 && path.symlink_metadata().is_ok(), "{what}");
                assert!(
                    !path.with_file_name("elsewhere").exists(),
                    "the link was followed"
                );
            }
            let path = shipped.path("thing");
            if what != "a directory" && replace(Path::new(&path), what, make) {
                shipped.restore("thing").assert_failed(2, "thing");
                assert!(!Path::new(&shipped.path("elsewhere")).exists());
            }
        });
    }

    /// An irregular file in the place of an object is an error.
    #[test]
    fn an_archive_with_odd_files_in_it_is_not_waited_for() {
        each_thing(|what, make| {
            let shipped = Shipped::make();
            if !replace(&shipped.entry(3), what, make) {
                return;
            }
            let store = shipped.store();
            let dir = shipped.path("copy");
            let log = shipped.log.path();
            for arguments in [
                &["archive", "show", &store][..],
                &["archive", "verify", &store],
                &["archive", "prune", &store, "--before-lsn", "500"],
                &["archive", "ship", log, &store, "--give-up-after", "1s"],
                &["restore", &store, &dir],
            ] {
                let ran = at_once(arguments);
                assert_eq!(ran.code, 1, "{arguments:?}, {what}: {}", ran.stderr);
                assert!(ran.stderr.contains("manifest"), "{}", ran.stderr);
            }
        });
    }

    /// Readers do not see it, and it cannot be created.
    #[test]
    fn an_odd_file_in_the_place_of_the_next_entry_is_not_waited_for() {
        each_thing(|what, make| {
            let shipped = Shipped::make();
            let (next, store) = (shipped.next_entry(), shipped.store());
            if !replace(&next, what, make) {
                return;
            }
            shipped.log.fill(901, 1800);
            let name = next.file_name().unwrap().to_str().unwrap();
            for arguments in [
                &["archive", "prune", &store, "--before-lsn", "900"][..],
                &["archive", "ship", shipped.log.path(), &store],
            ] {
                let ran = at_once(arguments);
                ran.assert_failed(1, name);
                assert!(ran.stderr.contains("not an object"), "{}", ran.stderr);
            }
            shipped.restore("copy").assert_ok();
        });
    }

    #[test]
    fn an_odd_file_in_the_place_of_a_part_is_not_waited_for() {
        each_thing(|what, make| {
            let shipped = Shipped::make();
            let store = shipped.store();
            let part = shipped.newest_part();
            if !replace(&part, what, make) {
                return;
            }
            let name = part.strip_prefix(&store).unwrap().to_str().unwrap();
            let verified = at_once(&["archive", "verify", &store]);
            assert_eq!(verified.code, 1, "{what}: {}", verified.stderr);
            assert!(verified.text().contains(name), "{}", verified.text());
            shipped.restore("copy").assert_failed(1, name);
        });
    }

    #[test]
    fn a_store_that_is_no_directory_is_refused_at_once() {
        each_thing(|what, make| {
            let shipped = Shipped::make();
            let thing = shipped.path("thing");
            if what == "a directory" || !replace(Path::new(&thing), what, make) {
                return;
            }
            let dir = shipped.path("copy");
            let log = shipped.log.path();
            for arguments in [
                &["archive", "ship", log, &thing][..],
                &["archive", "show", &thing],
                &["archive", "verify", &thing],
                &["archive", "prune", &thing, "--before-lsn", "500"],
                &["restore", &thing, &dir],
            ] {
                at_once(arguments).assert_failed(2, "cannot");
                assert!(!Path::new(&dir).exists(), "nothing was begun");
            }
        });
    }
}
