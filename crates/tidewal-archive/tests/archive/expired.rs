//! An expiry rule of the store removes old objects. The rest can still be extended and restored.

use tidewal::Lsn;
use tidewal_archive::{Error, RestoreTarget};

use crate::helpers::{append, archived, numbers, open, restore, restored_records, segments, ship};
use crate::store::Store;
use crate::support::run;

/// The objects of an archive in the order in which an expiry rule removes them: parts before the entry that names
/// them.
async fn by_age(store: &Store) -> Vec<String> {
    let names = store.names().await;
    let (entries, parts): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| name.contains("manifest"));
    let mut by_age = vec![entries[0].clone()];
    for (part, entry) in parts.iter().zip(&entries[1..]) {
        by_age.extend([part.clone(), entry.clone()]);
    }
    assert_eq!(by_age.len(), entries.len() + parts.len());
    by_age
}

#[test]
fn regression_what_has_expired_does_not_keep_the_rest_from_being_restored() {
    run(async {
        let (disk, store) = archived(23).await;
        let bases = segments(&disk);
        let all = by_age(&store).await;
        // Not the newest segment and its entry.
        for taken in 0..all.len() - 2 {
            store_without(&store, &all[..=taken], async |store| {
                let gone = all[..=taken]
                    .iter()
                    .filter(|name| name.contains("segments"));
                let oldest = bases[gone.count()];
                let found = store.archive().contents().await.unwrap();
                assert_eq!(found.oldest, Lsn::new(oldest), "{taken}");
                assert_eq!(found.end, Lsn::new(23));
                assert_eq!(found.expired, Lsn::new(oldest - 1));
                let records = restored_records(&store, RestoreTarget::End).await;
                assert_eq!(records, numbers(oldest..=23));
                let before = restore(&store, RestoreTarget::Lsn(Lsn::new(oldest - 1))).await;
                assert!(matches!(before, Err(Error::BeforeBeginning { .. })));
                assert!(store.archive().verify().await.unwrap().is_sound());
            })
            .await;
        }
    });
}

async fn store_without(store: &Store, names: &[String], test: impl AsyncFn(Store)) {
    let store = store.fork().await;
    for name in names {
        store.remove(name).await;
    }
    test(store).await;
}

#[test]
fn regression_a_log_is_shipped_to_an_archive_of_which_the_oldest_objects_have_expired() {
    run(async {
        let (disk, store) = archived(23).await;
        let wal = open(&disk).await;
        append(&wal, 24..=30).await;
        wal.close().await.unwrap();
        let all = by_age(&store).await;
        for taken in 0..all.len() - 2 {
            store_without(&store, &all[..=taken], async |store| {
                ship(&disk.fork(), &store).await.unwrap();
                store.archive().check_manifest().await.unwrap();
                let found = store.archive().contents().await.unwrap();
                assert_eq!(found.end, Lsn::new(30), "{taken}");
                let records = restored_records(&store, RestoreTarget::End).await;
                assert_eq!(records, numbers(found.oldest.get()..=30));
            })
            .await;
        }
    });
}

/// An object that is missing although an older one exists did not expire.
#[test]
fn a_hole_is_damage_and_not_age() {
    run(async {
        let (_, store) = archived(23).await;
        let all = by_age(&store).await;
        for name in &all[2..all.len() - 1] {
            store_without(&store, std::slice::from_ref(name), async |store| {
                let missing =
                    |error: &Error| matches!(error, Error::Missing { object , .. } if object == name);
                assert!(
                    missing(&restore(&store, RestoreTarget::End).await.unwrap_err()),
                    "{name}"
                );
                if name.contains("manifest") {
                    let checked = store.archive().check_manifest().await;
                    assert!(missing(&checked.unwrap_err()), "{name}");
                }
            })
            .await;
        }
    });
}

/// A part of the newest segment is missing, and nothing older exists: no log is left.
#[test]
fn an_archive_without_the_parts_of_any_segment_says_which_is_missing() {
    run(async {
        let (_, store) = archived(7).await;
        let parts = store.names().await;
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|name| name.contains("segments"))
            .collect();
        store_without(&store, &parts, async |store| {
            let restored = restore(&store, RestoreTarget::End).await;
            let newest = parts.last().unwrap();
            assert!(matches!(restored, Err(Error::Missing { object , .. }) if object == *newest));
        })
        .await;
    });
}

#[test]
fn regression_every_bad_object_is_named_with_its_records() {
    run(async {
        let (disk, store) = archived(23).await;
        let bases = segments(&disk);
        let names = store.names().await;
        let (entries, parts): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|name| name.contains("manifest"));
        store.remove(&entries[2]).await;
        store.write(&entries[4], b"not an entry".to_vec()).await;
        store.remove(&parts[2]).await;
        let mut bytes = store.read(&parts[4]).await;
        bytes[5000] ^= 1;
        store.write(&parts[4], bytes).await;
        let verified = store.archive().verify().await.unwrap();
        let found: Vec<_> = verified
            .bad
            .iter()
            .map(|bad| (bad.object.as_str(), bad.first.get(), bad.last.get()))
            .collect();
        // Entry n + 1 names segment n.
        let range = |segment: usize| (bases[segment], bases[segment + 1] - 1);
        let expected = [
            (&entries[2], 1),
            (&entries[4], 3),
            (&parts[2], 2),
            (&parts[4], 4),
        ];
        let expected = expected.map(|(object, segment)| {
            let (first, last) = range(segment);
            (object.as_str(), first, last)
        });
        assert_eq!(found, expected);
        assert_eq!(verified.contents.end, Lsn::new(23));
    });
}

/// The other entries can be read without the newest one, and nothing tells which records the newest one named.
#[test]
fn a_bad_entry_at_the_end_names_no_last_record() {
    run(async {
        let (disk, store) = archived(12).await;
        let names = store.names().await;
        let newest = names
            .iter()
            .rfind(|name| name.contains("manifest"))
            .unwrap();
        store.write(newest, b"not an entry".to_vec()).await;
        let verified = store.archive().verify().await.unwrap();
        let last = *segments(&disk).last().unwrap();
        let [bad] = &verified.bad[..] else {
            panic!("{verified:?}");
        };
        assert_eq!((bad.first, bad.last), (Lsn::new(last), Lsn::ZERO));
    });
}

#[test]
fn regression_entries_are_read_at_the_same_time() {
    run(async {
        let (_, store) = archived(120).await;
        let before = store.fork().await;
        before.archive().contents().await.unwrap();
        assert_eq!(before.most_running(), 16);
        restore(&before, RestoreTarget::End).await.unwrap();
        assert_eq!(before.most_running(), 16);
    });
}
