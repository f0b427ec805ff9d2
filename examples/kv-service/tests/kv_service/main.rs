//! The service as a process that is killed, over real HTTP: everything that it has acknowledged is
//! present after each start, and the log does not grow without bound.
//!
//! `KV_SERVICE_SEED=n cargo test` repeats the choices of a run that printed `seed n`. The order of concurrent
//! events still depends on the machine.

mod clients;
mod process;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::clients::{Client, Random, Round};
use crate::process::{Service, Value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_changes_survive_kill_9() {
    let (dir, seed) = (tempfile::tempdir().unwrap(), seed());
    let mut random = Random(seed);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| Client::new(number, seed))
        .collect();
    for round in 0..ROUNDS {
        let (kill_at, snapshot_every) = (50 + random.below(800), 20 + random.below(100));
        println!("seed {seed}, round {round}: kill at {kill_at}, snapshot every {snapshot_every}");
        let service = Service::start(dir.path(), snapshot_every).await;
        let killed_later = Round::new(service, kill_at);
        clients = all(clients, |client| client.check(Arc::clone(&killed_later))).await;
        clients = under_load(clients, &killed_later, round % 2 == 1).await;
        end(killed_later).await;
    }
    println!("seed {seed}, after the last round");
    assert!(!segments(dir.path()).contains(&FIRST_SEGMENT.to_owned()));
    snapshots_at_rest_keep_everything(dir.path(), clients).await;
}

/// Lets the clients work until the kill. If `snapshots` is set, requests snapshots continuously, so the kill is
/// likely to interrupt one.
async fn under_load(clients: Vec<Client>, round: &Arc<Round>, snapshots: bool) -> Vec<Client> {
    let snapshots = snapshots.then(|| tokio::spawn(keep_snapshotting(Arc::clone(round))));
    let clients = all(clients, |client| client.work(Arc::clone(round))).await;
    if let Some(snapshots) = snapshots {
        snapshots.await.unwrap();
    }
    clients
}

async fn keep_snapshotting(round: Arc<Round>) {
    while let Some(status) = round.unless_killed(round.service.snapshot()).await {
        assert_eq!(status, StatusCode::OK);
    }
}

/// Takes snapshots, two of them with nothing appended since the start: one segment remains, nothing has to be
/// replayed, and all keys are present.
async fn snapshots_at_rest_keep_everything(dir: &Path, mut clients: Vec<Client>) {
    for start in 0..3 {
        let service = Service::start(dir, u64::MAX).await;
        assert!(start == 0 || service.replayed == 0);
        let round = Round::new(service, u64::MAX);
        clients = all(clients, |client| client.check(Arc::clone(&round))).await;
        assert_eq!(round.service.snapshot().await.unwrap(), StatusCode::OK);
        // The log reaches back to the older snapshot, until there is only one.
        assert!(start == 0 || segments(dir).len() == 1);
        round.service.kill();
        end(round).await;
    }
}

/// Clients that write to the same keys do not know the final values. But the order of the log determines them, so
/// they must be the same after a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contended_keys_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = vec![None; CONTENDED.len()];
    for round in 0..ROUNDS {
        let service = Service::start(dir.path(), 50).await;
        assert_eq!(read_contended(&service).await, before, "round {round}");
        join_all((0..CLIENTS).map(|client| contend(&service, client, round))).await;
        before = read_contended(&service).await;
        service.kill();
        service.ended().await;
    }
}

async fn contend(service: &Service, client: u64, round: u64) {
    for change in 0..8_u64 {
        let value = format!("{change} of client {client} in round {round}");
        let value = (change % 4 != client % 4).then(|| value.into_bytes());
        for key in CONTENDED {
            let status = service.change(key, &value).await.unwrap();
            assert_eq!(status, StatusCode::OK);
        }
    }
}

async fn read_contended(service: &Service) -> Vec<Option<String>> {
    let reads = join_all(CONTENDED.map(|key| service.read(key))).await;
    let shown = |value: Value| value.map(|bytes| String::from_utf8(bytes).unwrap());
    reads.into_iter().map(|read| shown(read.unwrap())).collect()
}

#[tokio::test]
async fn a_lost_snapshot_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    fill_some_segments(&dir).await;
    for path in snapshots(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    let (status, text) = process::start_in_vain(dir.path()).await;
    assert!(!status.success());
    assert!(text.contains("no sound snapshot covers"), "{text}");
}

#[tokio::test]
async fn a_damaged_snapshot_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    fill_some_segments(&dir).await;
    for path in snapshots(dir.path()) {
        let mut bytes = fs::read(&path).unwrap();
        bytes[4100] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let (status, text) = process::start_in_vain(dir.path()).await;
    assert!(!status.success());
    assert!(text.contains("is damaged"), "{text}");
}

fn snapshots(dir: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let snapshots: Vec<_> = paths
        .filter(|path| path.extension() == Some("snapshot".as_ref()))
        .collect();
    assert!(!snapshots.is_empty());
    snapshots
}

async fn fill_some_segments(dir: &TempDir) {
    let service = Service::start(dir.path(), 1000).await;
    for _ in 0..20 {
        let value = Some(vec![b'.'; 2000]);
        assert_eq!(service.change("key", &value).await.unwrap(), StatusCode::OK);
    }
    assert_eq!(service.snapshot().await.unwrap(), StatusCode::OK);
    assert!(!segments(dir.path()).contains(&FIRST_SEGMENT.to_owned()));
    service.kill();
    service.ended().await;
}

#[tokio::test]
async fn what_is_too_large_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), 1000).await;
    let (small, large) = (Some(b"small".to_vec()), Some(vec![b'.'; 20_000]));
    service.change("key", &small).await.unwrap();
    let status = service.change("key", &large).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(service.read("key").await.unwrap(), small);
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_closes_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let value = Some(b"value".to_vec());
    let service = Service::start(dir.path(), 1000).await;
    service.change("key", &value).await.unwrap();
    service.interrupt();
    assert!(service.ended().await.success());

    let mut reader = tidewal::Wal::options().read(dir.path()).await.unwrap();
    while reader.try_next().await.unwrap().is_some() {}
    assert_eq!(reader.report().torn_tail, None);
    drop(reader);
    let service = Service::start(dir.path(), 1000).await;
    assert_eq!(service.replayed, 1);
    assert_eq!(service.read("key").await.unwrap(), value);
}

/// Runs the same action for all clients at once.
async fn all<F>(clients: Vec<Client>, what: impl Fn(Client) -> F) -> Vec<Client>
where
    F: Future<Output = Client> + Send + 'static,
{
    let tasks = clients.into_iter().map(|client| tokio::spawn(what(client)));
    let clients = join_all(tasks).await;
    clients.into_iter().map(|client| client.unwrap()).collect()
}

async fn end(round: Arc<Round>) {
    let round = Arc::into_inner(round).expect("the clients have ended");
    assert!(!round.service.ended().await.success());
}

fn segments(dir: &Path) -> Vec<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension() == Some("wal".as_ref()))
        .collect()
}

fn seed() -> u64 {
    std::env::var("KV_SERVICE_SEED").map_or_else(
        |_| RandomState::new().hash_one(0) % 1_000_000,
        |seed| seed.parse().unwrap(),
    )
}

const CLIENTS: u64 = 16;
const ROUNDS: u64 = 10;
const CONTENDED: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const FIRST_SEGMENT: &str = "00000000000000000001.wal";
