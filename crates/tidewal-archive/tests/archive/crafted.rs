//! Archives that no archiver writes: their objects have valid checks, and do not fit together.

use tidewal::Lsn;
use tidewal_archive::{Error, RestoreTarget};

use crate::helpers::{PREFIX, append, archived, open, restore, ship};
use crate::store::Store;
use crate::support::run;

pub fn entry_name(number: u64) -> String {
    format!("{PREFIX}/manifest/{number:020}")
}

/// The number and the text of the newest entry.
pub async fn entry_text(store: &Store) -> (u64, String) {
    let names = store.names().await;
    let newest = names.iter().rfind(|name| name.contains("/manifest/"));
    let newest = newest.unwrap();
    let number = newest[newest.len() - 20..].parse().unwrap();
    (number, String::from_utf8(store.read(newest).await).unwrap())
}

/// The value of the line that begins with this word.
fn value<'a>(text: &'a str, word: &str) -> &'a str {
    let mut values = text.lines().filter_map(|line| line.split_once(' '));
    values.find(|(found, _)| *found == word).unwrap().1
}

/// The same text with one line changed.
fn with(text: &str, word: &str, other: &str) -> String {
    let line = format!("\n{word} {}\n", value(text, word));
    assert_eq!(text.matches(&line).count(), 1, "{line}");
    text.replace(&line, &format!("\n{word} {other}\n"))
}

/// The bytes of an entry, with the check that they need.
fn checked(text: &str) -> Vec<u8> {
    let text = &text[..text.rfind("check ").unwrap()];
    let check = crc32fast::hash(text.as_bytes());
    format!("{text}check {check:08x}\n").into_bytes()
}

/// Adds as many claims to the manifest, as runs of an older version did.
pub async fn write_claims(store: &Store, count: u64) {
    let (newest, text) = entry_text(store).await;
    let mut previous = crc32fast::hash(text.as_bytes());
    let [log, reached, clock] = ["log", "reached", "clock"].map(|word| value(&text, word));
    for number in newest + 1..=newest + count {
        let claim = checked(&format!(
            "tidewal-archive 1\nentry {number}\nlog {log}\nwriter 00000000000000aa\n\
             previous {previous:08x}\nreached {reached}\nclock {clock}\nclaim\ncheck "
        ));
        previous = crc32fast::hash(&claim);
        store.write(&entry_name(number), claim).await;
    }
}

/// Replaces the newest entry by one that is changed in this way. Readers must name it, and an archiver must not
/// continue it.
async fn assert_refused(what: &str, change: impl Fn(&str) -> String) {
    let (disk, store) = archived(12).await;
    let wal = open(&disk).await;
    append(&wal, 13..=20).await;
    wal.close().await.unwrap();
    let (number, text) = entry_text(&store).await;
    let name = entry_name(number);
    store.write(&name, checked(&change(&text))).await;
    let is_it = |error: &Error| matches!(error, Error::Damaged { object, .. } if *object == name);
    let read = store.archive().contents().await.unwrap_err();
    assert!(is_it(&read), "{what}: {read:?}");
    let restored = restore(&store, RestoreTarget::End).await.unwrap_err();
    assert!(is_it(&restored), "{what}: {restored:?}");
    let verified = store.archive().verify().await.unwrap();
    assert_eq!(verified.bad.len(), 1, "{what}");
    assert!(is_it(&verified.bad[0].error), "{what}");
    let names = store.names().await;
    let shipped = ship(&disk, &store).await.unwrap_err();
    let is_refused = is_it(&shipped) || matches!(shipped, Error::Diverged { .. });
    assert!(is_refused, "{what}: {shipped:?}");
    assert_eq!(store.names().await, names, "{what}: something was written");
}

/// Changes a line of the newest entry.
fn line(word: &'static str, other: &'static str) -> impl Fn(&str) -> String {
    move |text| with(text, word, other)
}

#[test]
fn an_entry_that_contradicts_itself_is_neither_read_nor_continued() {
    run(async {
        // It claims more than it names: an archiver would leave out these records.
        assert_refused("reached", |text| {
            let (_, segment) = value(text, "reached").split_once(' ').unwrap();
            with(text, "reached", &format!("15 {segment}"))
        })
        .await;
        assert_refused("segment", line("segment", "12 11")).await;
        assert_refused("base 0", line("segment", "0 12")).await;
        assert_refused("salt", line("salt", "0000000000000000")).await;
        assert_refused("end", line("end", "18446744073709551615")).await;
        assert_refused("capacity", line("capacity", "18446744073709551615")).await;
        assert_refused("part", line("part", "18446744073709551615 00000000")).await;
        assert_refused("another number", line("entry", "1")).await;
        assert_refused("spaces", |text| text.replace("entry ", "entry  ")).await;
    });
}

/// The segments before and after it have the same records.
#[test]
fn segments_that_overlap_are_not_read() {
    run(async {
        let (_, store) = archived(12).await;
        let (number, text) = entry_text(&store).await;
        let (first, last) = value(&text, "segment").split_once(' ').unwrap();
        let before = first.parse::<u64>().unwrap() - 1;
        for overlapping in [format!("{before} {last}"), format!("1 {last}")] {
            let forged = with(&text, "segment", &overlapping);
            store.write(&entry_name(number), checked(&forged)).await;
            let read = store.archive().contents().await.unwrap_err();
            assert!(matches!(read, Error::Damaged { object, .. } if object == entry_name(number)));
        }
    });
}

/// An entry is bound to its place: a copy under the next number does not follow.
#[test]
fn an_entry_that_is_there_twice_is_not_read() {
    run(async {
        let (_, store) = archived(12).await;
        let (number, text) = entry_text(&store).await;
        let copy = with(&text, "entry", &(number + 1).to_string());
        let previous = format!("{:08x}", crc32fast::hash(text.as_bytes()));
        let linked = with(&copy, "previous", &previous);
        for forged in [text, copy, linked] {
            let store = store.fork().await;
            store.write(&entry_name(number + 1), checked(&forged)).await;
            let read = store.archive().contents().await.unwrap_err();
            let is_it =
                matches!(&read, Error::Damaged { object, .. } if *object == entry_name(number + 1));
            assert!(is_it, "{read:?}");
        }
    });
}

/// The memory of a reader is bounded by the length of a part, and not by what an entry says.
#[test]
fn regression_a_part_of_three_gigabytes_is_not_fetched() {
    run(async {
        let (_, store) = archived(3).await;
        let (number, text) = entry_text(&store).await;
        let (salt, len) = (value(&text, "salt"), 3_u64 << 30);
        let last = value(&text, "reached").split(' ').next().unwrap();
        let forged = with(&text, "reached", &format!("{last} {salt} {len}"));
        let forged = with(&forged, "end", &len.to_string());
        let forged = with(&forged, "capacity", &(1_u64 << 32).to_string());
        let forged = with(&forged, "part", &format!("{len} 00000000"));
        store.write(&entry_name(number), checked(&forged)).await;
        let read = store.archive().contents().await.unwrap_err();
        assert!(matches!(read, Error::Damaged { object, .. } if object == entry_name(number)));
    });
}

/// An object with a high number makes it seem that nearly 2^64 entries are missing.
#[test]
fn regression_an_entry_with_a_high_number_does_not_keep_readers_busy_for_ever() {
    run(async {
        for high in [u64::MAX, u64::MAX - 1, 1 << 40] {
            let (disk, store) = archived(12).await;
            let (number, text) = entry_text(&store).await;
            let forged = with(&text, "entry", &high.to_string());
            store.write(&entry_name(high), checked(&forged)).await;
            let first_missing = entry_name(number + 1);
            let is_missing = |error: &Error| matches!(error, Error::Missing { object, .. } if *object == first_missing);
            assert!(is_missing(&store.archive().contents().await.unwrap_err()));
            assert!(is_missing(
                &store.archive().check_manifest().await.unwrap_err()
            ));
            assert!(is_missing(
                &restore(&store, RestoreTarget::End).await.unwrap_err()
            ));
            let pruned = store.archive().prune(RestoreTarget::Lsn(Lsn::new(5))).await;
            assert!(is_missing(&pruned.unwrap_err()));
            let verified = store.archive().verify().await.unwrap();
            assert!(is_missing(&verified.bad[0].error));
            assert!((10_000..=10_001).contains(&verified.bad.len()));
            assert_eq!(verified.contents.end, Lsn::new(12));
            let before = store.names().await;
            match ship(&disk, &store).await {
                Err(Error::Damaged { object, .. }) => {
                    assert_eq!((object, high), (entry_name(high), u64::MAX));
                    assert_eq!(store.names().await, before);
                }
                // It is the newest entry.
                shipped => shipped.unwrap(),
            }
        }
    });
}

/// The first number is 1, and one above 2^64 - 1 is none.
#[test]
fn objects_with_numbers_that_no_entry_has_are_not_read() {
    run(async {
        let (disk, store) = archived(12).await;
        let manifest = format!("{PREFIX}/manifest");
        for name in [
            "00000000000000000000",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            store
                .write(&format!("{manifest}/{name}"), b"not ours".to_vec())
                .await;
        }
        assert!(store.archive().verify().await.unwrap().is_sound());
        store.archive().check_manifest().await.unwrap();
        ship(&disk, &store).await.unwrap();
    });
}

#[test]
fn an_empty_object_is_no_entry_and_no_part() {
    run(async {
        let (_, store) = archived(12).await;
        for name in store.names().await {
            let store = store.fork().await;
            store.write(&name, Vec::new()).await;
            let restored = restore(&store, RestoreTarget::End).await.unwrap_err();
            assert!(matches!(restored, Error::Damaged { object, .. } if object == name));
        }
    });
}

/// The log ends with the last possible LSN, according to the archive.
#[test]
fn an_archive_that_reached_the_last_lsn_is_not_continued() {
    run(async {
        let (disk, store) = archived(12).await;
        let (number, text) = entry_text(&store).await;
        let [log, clock] = ["log", "clock"].map(|word| value(&text, word));
        let previous = crc32fast::hash(text.as_bytes());
        let max = u64::MAX;
        let gap = checked(&format!(
            "tidewal-archive 1\nentry {}\nlog {log}\nwriter 00000000000000aa\nprevious {previous:08x}\n\
             reached {max} 0000000000000000 0\nclock {clock}\ngap 13 {max}\ncheck ",
            number + 1
        ));
        store.write(&entry_name(number + 1), gap).await;
        let found = store.archive().contents().await.unwrap();
        assert_eq!((found.end, found.gaps.len()), (Lsn::new(12), 1));
        let shipped = ship(&disk, &store).await.unwrap_err();
        assert!(matches!(shipped, Error::Diverged { .. }), "{shipped:?}");
    });
}

/// The names of the manifest's entries, in order.
async fn entry_names(store: &Store) -> Vec<String> {
    let names = store.names().await.into_iter();
    names.filter(|name| name.contains("/manifest/")).collect()
}

/// A pruned archive with `claims` entries before the checkpoint, and one old entry that was not removed.
async fn pruned_with_a_leftover(claims: u64) -> Store {
    let (disk, store) = archived(12).await;
    write_claims(&store, claims).await;
    let wal = open(&disk).await;
    append(&wal, 13..=20).await;
    wal.close().await.unwrap();
    ship(&disk, &store).await.unwrap();
    let oldest = entry_names(&store).await.remove(0);
    let bytes = store.read(&oldest).await;
    let before = RestoreTarget::Lsn(Lsn::new(14));
    store.archive().prune(before).await.unwrap();
    store.write(&oldest, bytes).await;
    store
}

#[test]
fn what_is_left_before_a_checkpoint_is_not_examined() {
    run(async {
        let store = pruned_with_a_leftover(10).await;
        let before = store.archive().contents().await.unwrap();
        let leftover = entry_names(&store).await.remove(0);
        store.write(&leftover, b"no entry".to_vec()).await;
        assert!(store.archive().verify().await.unwrap().is_sound());
        assert_eq!(store.archive().contents().await.unwrap(), before);
        store.archive().prune(RestoreTarget::End).await.unwrap();
        let left = entry_names(&store).await;
        assert!(!left.contains(&leftover), "{left:?}");
    });
}

/// The numbers below the checkpoint were as many as are named of a hole, so the one that was needed was not.
#[test]
fn regression_a_missing_entry_is_noticed_however_long_the_hole_before_it_is() {
    for claims in [100, 10_100] {
        run(async move {
            let store = pruned_with_a_leftover(claims).await;
            let needed = entry_names(&store).await.remove(1);
            store.remove(&needed).await;
            let verified = store.archive().verify().await.unwrap();
            assert_eq!(verified.bad.len(), 1, "{claims}");
            assert_eq!(verified.bad[0].object, needed);
            let missing = restore(&store, RestoreTarget::End).await.unwrap_err();
            assert!(matches!(missing, Error::Missing { .. }), "{missing:?}");
            let missing = store.archive().check_manifest().await.unwrap_err();
            assert!(matches!(missing, Error::Missing { .. }), "{missing:?}");
        });
    }
}
