//! The library's archive against a server that speaks S3.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt};
use tidewal::Lsn;
use tidewal_archive::{Archive, ArchiveOptions, Archiver, Error, RestoreTarget};

use crate::server::{BUCKET, Server};
use tidewal_testing::support::options;

const PREFIX: &str = "some/log";

/// The payload of a record. Lengths differ, so segments end anywhere. About three records fit into a segment.
fn payload(number: u64) -> Vec<u8> {
    let len = usize::try_from(3000 + number * 911 % 3000).unwrap();
    vec![u8::try_from(number % 199).unwrap(); len]
}

/// Appends the records with these numbers, which are their LSNs.
async fn append(wal: &tidewal::Wal, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let lsn = wal.append(payload(number)).await.unwrap();
        assert_eq!(lsn, Lsn::new(number));
    }
}

fn store_of(server: &Server) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(&server.address)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(BUCKET)
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .build()
        .unwrap()
}

#[test]
fn a_log_goes_to_a_server_and_comes_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async {
        server.make_bucket().await;
        let store: Arc<dyn ObjectStore> = Arc::new(store_of(&server));
        there_and_back(&store).await;
        fenced(&store).await;
        // A server in Python takes long to get a thousand objects.
        if std::env::var_os("TIDEWAL_LONG_MANIFEST").is_some() {
            continued(&store).await;
        }
    });
}

async fn there_and_back(store: &Arc<dyn ObjectStore>) {
    let dir = tempfile::tempdir().unwrap();
    let (log, copy) = (dir.path().join("log"), dir.path().join("copy"));
    for life in 0..3 {
        let wal = options().open(&log).await.unwrap();
        let archiver = archiver(&wal, store, PREFIX);
        append(&wal, life * 20 + 1..=life * 20 + 20).await;
        archiver.wait_caught_up().await.unwrap();
        let reached = archiver.status().archived;
        wal.truncate_before(Lsn::new(life * 20 + 20)).await.unwrap();
        assert!(reached > Lsn::new(life * 20));
        wal.close().await.unwrap();
    }
    let wal = options().open(&log).await.unwrap();
    archiver(&wal, store, PREFIX)
        .wait_caught_up()
        .await
        .unwrap();
    let archive = Archive::new(Arc::clone(store), PREFIX);
    let verified = archive.verify().await.unwrap().contents;
    assert_eq!((verified.oldest, verified.end), (Lsn::FIRST, Lsn::new(60)));
    let restored = archive.restore(&copy, RestoreTarget::Lsn(Lsn::new(47)));
    assert_eq!(restored.await.unwrap().end, Lsn::new(47));
    let mut reader = options().read(&copy).await.unwrap();
    for number in 1..=47 {
        let record = reader.try_next().await.unwrap().unwrap();
        assert_eq!(record.payload, payload(number));
    }
    assert!(reader.try_next().await.unwrap().is_none());
    let elsewhere = Archive::new(Arc::clone(store), "other/log");
    let elsewhere = elsewhere.contents().await;
    assert!(matches!(elsewhere, Err(Error::Empty { .. })));
}

/// Conditional puts keep two archivers from overwriting each other's entries, so the server must decide them.
async fn fenced(store: &Arc<dyn ObjectStore>) {
    let dir = tempfile::tempdir().unwrap();
    let (log, twin) = (dir.path().join("log"), dir.path().join("twin"));
    let wal = options().open(&log).await.unwrap();
    append(&wal, 1..=10).await;
    wal.close().await.unwrap();
    std::fs::create_dir(&twin).unwrap();
    for file in std::fs::read_dir(&log).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), twin.join(file.file_name())).unwrap();
    }
    let old_wal = options().open(&log).await.unwrap();
    let old = archiver(&old_wal, store, "twins");
    old.wait_caught_up().await.unwrap();
    let new_wal = options().open(&twin).await.unwrap();
    let new = archiver(&new_wal, store, "twins");
    append(&new_wal, 11..=20).await;
    new.wait_caught_up().await.unwrap();
    append(&old_wal, 11..=20).await;
    let end = old.wait_caught_up().await.unwrap_err();
    assert!(matches!(end, Error::Fenced { .. }), "{end:?}");
    let twins = Archive::new(Arc::clone(store), "twins");
    let verified = twins.verify().await.unwrap();
    assert!(verified.is_sound(), "{verified:?}");
}

/// The server lists 1,000 names at a time. The newest entry is found after them, and the next one is created.
async fn continued(store: &Arc<dyn ObjectStore>) {
    let dir = tempfile::tempdir().unwrap();
    let ship = async |numbers| {
        let wal = options().open(&dir).await.unwrap();
        append(&wal, numbers).await;
        wal.close().await.unwrap();
        let wal = options().open(&dir).await.unwrap();
        let archiver = archiver(&wal, store, "long");
        // With a wrong entry for the newest, it would claim again and again.
        let caught_up = tokio::time::timeout(Duration::from_secs(60), archiver.wait_caught_up());
        caught_up.await.expect("it ends").unwrap();
        let reached = archiver.status().archived;
        wal.close().await.unwrap();
        reached
    };
    ship(1..=3).await;
    write_claims(store, 2..1020).await;
    assert_eq!(ship(4..=10).await, Lsn::new(10));
    let long = Archive::new(Arc::clone(store), "long");
    long.check_manifest().await.unwrap();
}

/// Adds claims to a manifest after its newest entry, with these numbers.
async fn write_claims(store: &Arc<dyn ObjectStore>, after: std::ops::Range<u64>) {
    let name = |number: u64| object_store::path::Path::from(format!("long/manifest/{number:020}"));
    let newest = store.get(&name(after.start)).await.unwrap();
    let newest = newest.bytes().await.unwrap();
    let text = std::str::from_utf8(&newest).unwrap();
    let line = |word: &str| text.lines().find(|line| line.starts_with(word)).unwrap();
    let [log, reached, clock] = ["log ", "reached ", "clock "].map(line);
    let mut previous = crc32fast::hash(&newest);
    let mut puts = tokio::task::JoinSet::new();
    for number in after.start + 1..after.end {
        let claim = format!(
            "tidewal-archive 1\nentry {number}\n{log}\nwriter 00000000000000aa\n\
             previous {previous:08x}\n{reached}\n{clock}\nclaim\n"
        );
        let check = crc32fast::hash(claim.as_bytes());
        let claim = format!("{claim}check {check:08x}\n");
        previous = crc32fast::hash(claim.as_bytes());
        let (store, name) = (Arc::clone(store), name(number));
        puts.spawn(async move { store.put(&name, claim.into()).await });
    }
    for put in puts.join_all().await {
        put.unwrap();
    }
}

fn archiver(wal: &tidewal::Wal, store: &Arc<dyn ObjectStore>, prefix: &str) -> Archiver {
    let archive = Archive::new(Arc::clone(store), prefix);
    Archiver::start(wal, &archive, ArchiveOptions::new()).unwrap()
}
