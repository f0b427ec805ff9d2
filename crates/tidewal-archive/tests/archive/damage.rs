//! Objects that are damaged, too short, missing, or exchanged.

use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal_archive::{Error, RestoreTarget, Result};

use crate::helpers::{PREFIX, append, archived, open, restore, restored_records, segments, ship};
use crate::store::Store;
use crate::support::{DIR, run};

/// Whether an error names this object.
fn names(error: &Error, name: &str) -> bool {
    match error {
        Error::Damaged { object, .. } | Error::Missing { object, .. } => object == name,
        _ => false,
    }
}

/// Restores a damaged archive. This must fail, and leave a directory that does not open.
async fn refused(store: &Store, name: &str) {
    let disk = SimDisk::new(1);
    let restored = store
        .archive()
        .restore_on(&disk, DIR, None, RestoreTarget::End)
        .await;
    let error = restored.unwrap_err();
    assert!(names(&error, name), "{name}: {error:?}");
    let verified = store.archive().verify().await.unwrap();
    let [bad] = &verified.bad[..] else {
        panic!("{name}: {verified:?}");
    };
    assert!(
        bad.object == name && names(&bad.error, name),
        "{name}: {bad:?}"
    );
    crate::helpers::settle().await;
    if !segments(&disk).is_empty() {
        let opened = crate::support::options().open_on(&disk, DIR).await;
        let is_unfinished = matches!(opened, Err(tidewal::Error::UnfinishedRestore { .. }));
        assert!(is_unfinished, "{name}");
    }
}

#[test]
fn every_object_is_missed() {
    run(async {
        let (_, store) = archived(12).await;
        let all = store.names().await;
        let newest = all.iter().rfind(|name| name.contains("manifest")).unwrap();
        // An expiry rule may have removed these: see `expired.rs`.
        let may_expire = [
            &all[0],
            all.iter().find(|name| name.contains("segments")).unwrap(),
        ];
        for name in all
            .iter()
            .filter(|name| *name != newest && !may_expire.contains(name))
        {
            let store = store.fork().await;
            store.remove(name).await;
            refused(&store, name).await;
        }
        // Without its newest entry, the archive is as it was before that entry.
        let (last, _) = last_segment(&store).await;
        store.remove(newest).await;
        assert_eq!(
            restored_records(&store, RestoreTarget::End).await.len() as u64,
            last - 1
        );
    });
}

/// The base and the object of the newest segment.
async fn last_segment(store: &Store) -> (u64, String) {
    let names = store.names().await;
    let object = names
        .iter()
        .rfind(|name| name.contains("segments"))
        .unwrap();
    let base = &object[PREFIX.len() + 10..PREFIX.len() + 30];
    (base.parse().unwrap(), object.clone())
}

#[test]
fn flipped_bits_and_cut_ends_are_noticed() {
    run(async {
        let (_, store) = archived(7).await;
        for name in store.names().await {
            let bytes = store.read(&name).await;
            for at in places(bytes.len()) {
                let store = store.fork().await;
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                store.write(&name, damaged).await;
                refused(&store, &name).await;
            }
            for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                let store = store.fork().await;
                store.write(&name, bytes[..len].to_vec()).await;
                refused(&store, &name).await;
            }
            let store = store.fork().await;
            store.write(&name, [&bytes[..], b"more"].concat()).await;
            refused(&store, &name).await;
        }
    });
}

/// Every byte of a small object, and every 101st byte of a large one.
fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(if len < 2000 { 1 } else { 101 })
}

#[test]
fn objects_in_each_others_place_are_noticed() {
    run(async {
        let (_, store) = archived(12).await;
        let all = store.names().await;
        for kind in ["manifest", "segments"] {
            let same: Vec<_> = all.iter().filter(|name| name.contains(kind)).collect();
            for pair in same.windows(2) {
                let store = store.fork().await;
                let bytes = store.read(pair[1]).await;
                store.write(pair[0], bytes).await;
                refused(&store, pair[0]).await;
            }
        }
    });
}

#[test]
fn entries_of_another_archive_are_noticed() {
    run(async {
        let (_, store) = archived(12).await;
        let disk = SimDisk::new(5);
        let (other, wal) = (Store::new(), open(&disk).await);
        append(&wal, 1..=12).await;
        wal.close().await.unwrap();
        ship(&disk, &other).await.unwrap();
        let all = store.names().await;
        let entries = all.iter().filter(|name| name.contains("manifest"));
        for name in entries.clone().skip(1) {
            let store = store.fork().await;
            store.write(name, other.read(name).await).await;
            refused(&store, name).await;
        }
    });
}

/// Damage before the target is an error. Damage after it is not detected, because a restore does not read that far.
#[test]
fn damage_behind_the_wanted_end_does_no_harm() {
    run(async {
        let (_, store) = archived(12).await;
        let (base, object) = last_segment(&store).await;
        store.remove(&object).await;
        let until = RestoreTarget::Lsn(Lsn::new(base - 1));
        assert_eq!(restored_records(&store, until).await.len() as u64, base - 1);
        assert!(matches!(
            restore(&store, RestoreTarget::End).await,
            Err(Error::Missing { .. })
        ));
    });
}

#[test]
fn a_later_version_is_not_read() {
    run(async {
        let (_, store) = archived(3).await;
        let name = format!("{PREFIX}/manifest/00000000000000000001");
        let entry = String::from_utf8(store.read(&name).await).unwrap();
        let text = entry.replace("tidewal-archive 1", "tidewal-archive 2");
        let text = &text[..text.find("check").unwrap()];
        let check = crc32fast::hash(text.as_bytes());
        store
            .write(&name, format!("{text}check {check:08x}\n").into_bytes())
            .await;
        let read: Result<_> = store.archive().contents().await;
        assert!(matches!(read, Err(Error::Unsupported { object , .. }) if object == name));
    });
}

/// A segment that is damaged on the log's disk is not shipped, and the archive is unchanged.
#[test]
fn damage_to_the_log_itself_is_not_archived() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open(&disk).await;
        append(&wal, 1..=12).await;
        wal.close().await.unwrap();
        let bases = segments(&disk);
        for (index, &base) in bases.iter().enumerate() {
            let name = format!("{DIR}/{base:020}.wal");
            for at in [4096, 4100, 5000, 9000] {
                let (disk, store) = (disk.fork(), Store::new());
                let wal = open(&disk).await;
                disk.corrupt(&name, |bytes| bytes[at] ^= 1);
                let archiver = crate::helpers::start(&wal, &store, crate::helpers::quick());
                let error = archiver.wait_caught_up().await.unwrap_err();
                assert!(
                    matches!(&error, Error::LogDamaged { segment, .. } if segment.ends_with(&name)),
                    "{error:?}"
                );
                let shipped = archiver.status().segments;
                assert_eq!(shipped, index as u64);
                wal.truncate_before(Lsn::new(12)).await.unwrap();
                assert_eq!(segments(&disk)[0], base);
            }
        }
    });
}
