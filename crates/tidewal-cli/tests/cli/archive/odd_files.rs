//! Irregular files in the place of a log's files and of an archive's objects.

use std::fs;
use std::path::{Path, PathBuf};

use super::helpers::Shipped;
use crate::helpers::{Ran, tidewal};
use crate::odd_files::{THINGS, at_once};

/// The file of an entry of the manifest.
fn entry(shipped: &Shipped, number: usize) -> PathBuf {
    Path::new(&shipped.store()).join(format!("manifest/{number:020}"))
}

/// The file that the next entry would be.
fn next_entry(shipped: &Shipped) -> PathBuf {
    let entries = fs::read_dir(entry(shipped, 1).parent().unwrap()).unwrap();
    entry(shipped, entries.count() + 1)
}

/// Ships the log as it is now to a new place.
fn ship_elsewhere(shipped: &Shipped) -> Ran {
    let store = shipped.path("other");
    at_once(&["archive", "ship", shipped.log.path(), &store])
}

fn restore(shipped: &Shipped, dir: &str) -> Ran {
    at_once(&["restore", &shipped.store(), &shipped.path(dir)])
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
            assert!(
                ship_elsewhere(&shipped)
                    .assert_failed(2, what)
                    .stderr
                    .contains(name)
            );
        }
        let shipped = Shipped::make();
        if replace(&shipped.log.dir.join("LOCK"), what, make) {
            assert!(
                ship_elsewhere(&shipped)
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
            let ran = ship_elsewhere(&shipped);
            assert!(ran.assert_ok().text().contains("Shipped 3 segments"));
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
            restore(&shipped, &dir).assert_failed(2, name);
            let left = fs::read_dir(shipped.path(&dir)).unwrap().count();
            assert!(left <= 2 && path.symlink_metadata().is_ok(), "{what}");
            assert!(
                !path.with_file_name("elsewhere").exists(),
                "the link was followed"
            );
        }
        let path = shipped.path("thing");
        if what != "a directory" && replace(Path::new(&path), what, make) {
            restore(&shipped, "thing").assert_failed(2, "thing");
            assert!(!Path::new(&shipped.path("elsewhere")).exists());
        }
    });
}

/// The names that belong to an archive: its folders, and the oldest, another and the newest object of each kind.
fn names_of_objects(shipped: &Shipped) -> Vec<PathBuf> {
    let store = PathBuf::from(shipped.store());
    let mut folders: Vec<_> = fs::read_dir(store.join("segments"))
        .unwrap()
        .map(|folder| folder.unwrap().path())
        .collect();
    folders.sort();
    let parts = folders.iter().map(|folder| folder.join("0000"));
    let entries = (1..=4).map(|number| entry(shipped, number));
    let all = [store.join("manifest"), store.join("segments")];
    let all = all.into_iter().chain(entries).chain(parts);
    let all: Vec<_> = all.chain(folders.clone()).collect();
    assert_eq!(all.len(), 2 + 4 + 3 + 3);
    all
}

/// An irregular file in the place of any object, or of a folder of objects, is an error that names it and says what it
/// is.
#[test]
fn regression_an_odd_file_in_the_place_of_an_object_is_named_by_each_command() {
    each_thing(|what, make| {
        let shipped = Shipped::make();
        let (store, dir) = (shipped.store(), shipped.path("copy"));
        for path in names_of_objects(&shipped) {
            if what == "a directory" && path.is_dir() {
                continue;
            }
            let aside = Path::new(&shipped.path("aside")).to_owned();
            fs::rename(&path, &aside).unwrap();
            if replace(&path, what, make) {
                let said = format!("{} is {what}", path.display());
                for arguments in [
                    &["archive", "show", &store][..],
                    &["archive", "verify", &store],
                    &["archive", "prune", &store, "--before-lsn", "500"],
                    &["restore", &store, &dir],
                ] {
                    at_once(arguments).assert_failed(1, &said);
                    assert!(!Path::new(&dir).exists(), "nothing was begun");
                }
                let ship = ["archive", "ship", shipped.log.path(), &store];
                let is_part = path.ends_with("0000");
                let shipped = at_once(&ship);
                match is_part {
                    // A run does not look at the parts of earlier ones.
                    true => shipped.assert_ok(),
                    false => shipped.assert_failed(1, &said),
                };
                remove_odd(&path);
            }
            fs::rename(&aside, &path).unwrap();
        }
        tidewal(&["archive", "verify", &store]).assert_ok();
    });
}

/// A regular file in the place of a folder.
#[test]
fn a_regular_file_in_the_place_of_a_folder_is_named() {
    let shipped = Shipped::make();
    let store = shipped.store();
    for path in names_of_objects(&shipped)
        .into_iter()
        .filter(|path| path.is_dir())
    {
        let aside = Path::new(&shipped.path("aside")).to_owned();
        fs::rename(&path, &aside).unwrap();
        fs::write(&path, "not a folder").unwrap();
        let said = format!("{} is a regular file", path.display());
        at_once(&["archive", "show", &store]).assert_failed(1, &said);
        at_once(&["archive", "ship", shipped.log.path(), &store]).assert_failed(1, &said);
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
}

/// Folders and objects may be elsewhere, and files with other names do not matter.
#[test]
fn links_that_lead_to_objects_and_files_with_other_names_do_no_harm() {
    let shipped = Shipped::make();
    for (number, path) in names_of_objects(&shipped).iter().enumerate() {
        let aside = Path::new(&shipped.path(&number.to_string())).to_owned();
        fs::rename(path, &aside).unwrap();
        std::os::unix::fs::symlink(&aside, path).unwrap();
    }
    each_thing(|what, make| {
        let name = format!("manifest/{}", what.replace(' ', "-"));
        replace(&Path::new(&shipped.store()).join(name), what, make);
    });
    tidewal(&["archive", "verify", &shipped.store()]).assert_ok();
    restore(&shipped, "copy").assert_ok();
    tidewal(&["archive", "ship", shipped.log.path(), &shipped.store()]).assert_ok();
}

/// Readers cannot tell whether it was an entry, and an archiver cannot create one there.
#[test]
fn an_odd_file_in_the_place_of_the_next_entry_is_not_waited_for() {
    each_thing(|what, make| {
        let shipped = Shipped::make();
        let (next, store) = (next_entry(&shipped), shipped.store());
        if !replace(&next, what, make) {
            return;
        }
        shipped.log.fill(901, 1800);
        let name = next.file_name().unwrap().to_str().unwrap();
        for arguments in [
            &["archive", "prune", &store, "--before-lsn", "900"][..],
            &["archive", "ship", shipped.log.path(), &store],
            &["restore", &store, &shipped.path("copy")],
        ] {
            let ran = at_once(arguments);
            ran.assert_failed(1, name);
            assert!(ran.stderr.contains("not an object"), "{}", ran.stderr);
        }
        remove_odd(&next);
        restore(&shipped, "copy").assert_ok();
    });
}

fn remove_odd(path: &Path) {
    fs::remove_file(path)
        .or_else(|_| fs::remove_dir(path))
        .unwrap();
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
            at_once(arguments).assert_failed(2, &thing);
            assert!(!Path::new(&dir).exists(), "nothing was begun");
        }
    });
}
