//! How many requests a run makes.

use tidewal::sim::SimDisk;

use crate::crafted::{entry_text, write_claims};
use crate::helpers::{append, archived, open, quick, start};
use crate::store::Store;
use crate::support::run;

/// Ships what there is, as `tidewal archive ship` does, and returns the number of requests.
async fn ship(disk: &SimDisk, store: &Store) -> u64 {
    let before = store.calls();
    let wal = open(disk).await;
    let archiver = start(&wal, store, quick().lazy_claim(true));
    archiver.wait_caught_up().await.unwrap();
    wal.close().await.unwrap();
    store.archive().check_manifest().await.unwrap();
    store.calls() - before
}

/// A listing of all entries takes a request for each 1,000 of them.
#[test]
fn regression_a_run_without_news_makes_few_requests_however_long_the_manifest_is() {
    run(async {
        let (disk, store) = archived(12).await;
        assert_eq!(ship(&disk, &store).await, 4);
        for (claims, bound) in [(980, 4), (3000, 20), (9000, 24), (50_000, 32)] {
            let store = store.fork().await;
            write_claims(&store, claims).await;
            let names = store.names().await;
            let requests = ship(&disk, &store).await;
            println!("{claims} more entries: {requests} requests");
            assert!(requests <= bound, "{claims}: {requests}");
            assert_eq!(store.names().await, names, "nothing was written");
        }
    });
}

/// The next entry is found and created with few requests, too.
#[test]
fn a_long_manifest_is_continued() {
    run(async {
        let (disk, store) = archived(12).await;
        write_claims(&store, 5000).await;
        let (newest, _) = entry_text(&store).await;
        let wal = open(&disk).await;
        append(&wal, 13..=13).await;
        wal.close().await.unwrap();
        let requests = ship(&disk, &store).await;
        assert!(requests <= 30, "{requests}");
        assert_eq!(
            entry_text(&store).await.0,
            newest + 2,
            "a claim and a segment"
        );
        let found = store.archive().contents().await.unwrap();
        assert_eq!(found.end.get(), 13);
    });
}

/// The other requests for the same manifest read all of it, page by page.
#[test]
fn a_reader_of_a_long_manifest_reads_each_entry_once() {
    run(async {
        let (_, store) = archived(12).await;
        write_claims(&store, 2500).await;
        let (entries, _) = entry_text(&store).await;
        let before = store.calls();
        store.archive().contents().await.unwrap();
        // Three pages of entries, and one of parts.
        assert_eq!(store.calls() - before, entries + 3 + 1);
    });
}
