use super::*;
use crate::storage::{Dir, Mode};

fn disk_with_a_file() -> (SimDisk, Dir) {
    let disk = SimDisk::new(1);
    let dir = Dir::new(disk.dir("d"));
    dir.make().unwrap();
    let file = dir.open("f", Mode::Create).unwrap();
    let (file, _) = file.write_at(b"old", 0).unwrap();
    tokio_test::block_on(file.sync()).unwrap();
    dir.sync().unwrap();
    (disk, dir)
}

fn overwrite(dir: &Dir, bytes: &[u8], offset: u64) -> crate::storage::File {
    dir.open("f", Mode::Write)
        .unwrap()
        .write_at(bytes, offset)
        .unwrap()
        .0
}

#[test]
fn what_was_synced_survives() {
    let (disk, _) = disk_with_a_file();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read("d/f").unwrap(), b"old");
}

#[test]
fn what_was_not_synced_survives_as_far_as_asked() {
    for (survival, expected) in [
        (Survival::Nothing, "old"),
        (Survival::Prefix(1), "new"),
        (Survival::Everything, "new!"),
    ] {
        let (disk, dir) = disk_with_a_file();
        overwrite(&dir, b"new", 0);
        overwrite(&dir, b"!", 3);
        assert_eq!(disk.volatile_changes(), 2);
        assert_eq!(disk.read("d/f").unwrap(), b"new!");
        disk.restart(survival);
        assert_eq!(disk.read("d/f").unwrap(), expected.as_bytes());
    }
}

#[test]
fn a_name_needs_its_directory_synced() {
    let (disk, dir) = disk_with_a_file();
    let file = dir.open("new", Mode::Create).unwrap();
    tokio_test::block_on(file.sync()).unwrap();
    dir.rename("f", "g").unwrap();
    assert_eq!(disk.files("d"), ["g", "new"]);
    disk.restart(Survival::Nothing);
    assert_eq!(disk.files("d"), ["f"]);
}

#[test]
fn a_failed_sync_loses_its_data_for_good() {
    let (disk, dir) = disk_with_a_file();
    let file = overwrite(&dir, b"new", 0);
    disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
    assert!(tokio_test::block_on(file.sync()).is_err());
    let again = dir.open("f", Mode::Write).unwrap();
    assert!(tokio_test::block_on(again.sync()).is_ok());
    assert_eq!(disk.read("d/f").unwrap(), b"new");
    disk.restart(Survival::Everything);
    assert_eq!(disk.read("d/f").unwrap(), b"old");
}

#[test]
fn nothing_works_without_power() {
    let (disk, dir) = disk_with_a_file();
    disk.cut_power_at(disk.operations() + 1);
    let file = overwrite(&dir, b"new", 0);
    assert!(file.write_at(b"x", 9).is_err());
    assert!(disk.is_off());
    assert!(dir.list().is_err());
    disk.restart(Survival::Everything);
    assert_eq!(disk.read("d/f").unwrap(), b"new\0\0\0\0\0\0x");
    assert!(dir.list().is_err(), "handles from before the cut stay dead");
}

#[test]
fn a_quota_is_kept_and_removal_gives_space_back() {
    let (disk, dir) = disk_with_a_file();
    disk.set_quota(Some(10));
    let full = dir
        .open("g", Mode::Create)
        .unwrap()
        .allocate(8)
        .err()
        .unwrap();
    assert!(full.is_storage_full());
    dir.remove("f").unwrap();
    assert!(dir.open("g", Mode::Write).unwrap().allocate(8).is_ok());
}

#[test]
fn the_same_seed_gives_the_same_survivors() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        disk.plant("d/f", vec![0; 64 * 512]);
        let dir = Dir::new(disk.dir("d"));
        overwrite(&dir, &vec![1; 64 * 512], 0);
        disk.restart(Survival::Random);
        disk.read("d/f").unwrap()
    };
    assert_eq!(run(5), run(5));
    assert!((0..10).any(|seed| run(seed) != run(seed + 1)));
    let mixed = run(5);
    assert!(
        mixed
            .chunks(512)
            .all(|sector| sector.iter().all(|byte| byte == &sector[0]))
    );
}
