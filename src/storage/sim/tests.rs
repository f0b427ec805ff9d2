use super::*;
use crate::storage::access::Access;
use crate::storage::backend::{Mode, Opening};
use crate::storage::dir::Dir;

fn open_dir(disk: &SimDisk) -> Dir {
    let opening = Opening {
        access: Access::Append,
        create: true,
        allow_unsynced: false,
    };
    disk.location("d").open(opening).unwrap()
}

fn disk_with_a_file() -> (SimDisk, Dir) {
    let disk = SimDisk::new(1);
    let dir = open_dir(&disk);
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
fn a_failed_sync_of_a_directory_forgets_its_names() {
    let (disk, dir) = disk_with_a_file();
    let file = dir.open("new", Mode::Create).unwrap();
    tokio_test::block_on(file.sync()).unwrap();
    disk.fail(Operation::SyncDir, 0, io::ErrorKind::Other);
    dir.sync().unwrap_err();
    assert!(disk.read("d/new").is_some());
    // Another process does not know of the failure.
    open_dir(&disk).sync().unwrap();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read("d/new"), None);
    assert_eq!(disk.read("d/f").unwrap(), b"old");
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
        disk.write_file("d/f", vec![0; 64 * 512]);
        let dir = open_dir(&disk);
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

#[test]
fn a_file_that_has_grown_holds_its_data_or_zeros_or_garbage() {
    let survivor = |seed| {
        let disk = SimDisk::new(seed);
        let dir = open_dir(&disk);
        let file = dir.open("f", Mode::Create).unwrap();
        dir.sync().unwrap();
        drop(file.write_at(&[7; 512], 0).unwrap());
        disk.restart(Survival::Random);
        disk.read("d/f").unwrap()
    };
    let seen: Vec<_> = (0..64).map(survivor).collect();
    let filled_with = |byte: u8| seen.iter().any(|file| *file == [byte; 512]);
    assert!(filled_with(7) && filled_with(0) && seen.contains(&Vec::new()));
    let garbage = |file: &Vec<u8>| file.len() == 512 && file[0] != 0 && file[0] != 7;
    assert!(seen.iter().any(garbage));
}

#[test]
fn the_pieces_that_survive_can_be_chosen() {
    for chosen in 0..8 {
        let disk = SimDisk::new(1);
        disk.write_file("d/f", vec![0; 1024]);
        let dir = open_dir(&disk);
        overwrite(&dir, &[1; 600], 0);
        dir.rename("f", "g").unwrap();
        assert_eq!(disk.volatile_pieces(), 3);
        disk.restart(Survival::Pieces(chosen));
        let name = if chosen & 4 == 0 { "f" } else { "g" };
        assert_eq!(disk.files("d"), [name]);
        let file = disk.read(format!("d/{name}")).unwrap();
        assert_eq!(u64::from(file[0]) | u64::from(file[599]) << 1, chosen & 3);
    }
}

#[test]
fn a_sync_keeps_its_files_name_if_asked_to() {
    let (disk, dir) = disk_with_a_file();
    disk.set_fsync_persists_name(true);
    let file = dir.open("new", Mode::Create).unwrap();
    drop(dir.open("other", Mode::Create).unwrap());
    tokio_test::block_on(file.sync()).unwrap();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.files("d"), ["f", "new"]);
}

#[test]
fn short_operations_are_finished_and_a_full_disk_may_come_in_between() {
    let (disk, dir) = disk_with_a_file();
    disk.short_io(Operation::Write, 0);
    let before = disk.operations();
    overwrite(&dir, b"0123456789", 0);
    assert_eq!(disk.operations() - before, 2);
    disk.short_io(Operation::Read, 0);
    let mut bytes = [0; 10];
    let file = dir.open("f", Mode::Read).unwrap();
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 10);
    assert_eq!(&bytes, b"0123456789");
    disk.short_io(Operation::Write, 0);
    disk.fail(Operation::Write, 1, io::ErrorKind::StorageFull);
    let file = dir.open("f", Mode::Write).unwrap();
    assert!(
        file.write_at(b"abcdefghij", 0)
            .err()
            .unwrap()
            .is_storage_full()
    );
    assert_eq!(disk.read("d/f").unwrap(), b"abcde56789");
    assert_eq!(disk.clear_faults(), 0);
}

#[test]
fn a_stalled_sync_takes_its_time_and_the_next_one_does_not() {
    let (disk, dir) = disk_with_a_file();
    disk.stall(1, Duration::from_secs(5));
    let file = overwrite(&dir, b"new", 0);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let started = tokio::time::Instant::now();
        let (file, _) = file.sync().await.unwrap();
        assert!(started.elapsed().is_zero());
        let (file, _) = file.sync().await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 5);
        file.sync().await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 5);
    });
}

#[test]
fn damage_is_durable_and_needs_a_file() {
    let (disk, _) = disk_with_a_file();
    assert!(disk.corrupt("d/f", |bytes| bytes[0] ^= 1));
    assert!(!disk.corrupt("d/g", |_| panic!("there is no such file")));
    disk.restart(Survival::Nothing);
    assert_eq!(disk.read("d/f").unwrap(), b"nld");
}

#[test]
fn damage_meets_whoever_has_the_file_open_and_takes_no_room() {
    let (disk, dir) = disk_with_a_file();
    let open = dir.open("f", Mode::Read).unwrap();
    for _ in 0..100 {
        assert!(disk.corrupt("d/f", |bytes| bytes[0] ^= 1));
        disk.write_file("d/f", b"new".to_vec());
    }
    disk.corrupt("d/f", |bytes| bytes[1] = b'o');
    let mut buffer = [0; 3];
    assert_eq!(open.read_at(&mut buffer, 0).unwrap(), 3);
    assert_eq!(&buffer, b"now");
    assert_eq!(disk.model().inodes.len(), 1, "each damage made a file");
}
