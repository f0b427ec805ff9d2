//! A standby follows a primary over broken connections and takes over. The old primary is fenced.

mod machine;

use std::time::Duration;

use machine::Machine;
use standby::{Deposed, FollowError, Truncation, follow, promote, serve};
use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn a_standby_takes_over_and_the_old_primary_is_fenced() {
    let (first, second) = (Machine::new().await, Machine::new().await);
    promote(&first.wal, first.path()).await.unwrap();
    first.append(1, 500).await;
    let (address, serving) = first.serve().await;
    second.follow(&address, 500).await;
    // The connection is broken. The primary continues, and keeps the records that the standby lacks.
    first.append(501, 600).await;
    second.follow(&address, 600).await;

    // The standby takes over. What the old primary still appends is lost.
    let term = promote(&second.wal, second.path()).await.unwrap();
    assert_eq!(term, 2);
    second.append(601, 650).await;
    first.append(601, 602).await;

    // By mistake, the new primary is told to follow the old one. The old one learns that it was deposed.
    let stream = TcpStream::connect(&address).await.unwrap();
    assert!(
        follow(&second.wal, second.path(), stream, Truncation::Never)
            .await
            .is_err()
    );
    let deposed = serving.await.unwrap().unwrap_err();
    assert!(deposed.is::<Deposed>(), "{deposed}");

    // A third machine follows the new primary, and gets everything.
    let third = Machine::new().await;
    let (address, _serving) = second.serve().await;
    third.follow(&address, 650).await;
    let records = third.records().await;
    assert_eq!(records, second.records().await);
    assert_eq!(records.len(), 650);
}

/// A machine that knows the new term does not follow the old primary, whatever records the old primary has.
#[tokio::test]
async fn an_older_primary_is_not_followed() {
    let (old, standby) = (Machine::new().await, Machine::new().await);
    old.append(1, 10).await;
    promote(&standby.wal, standby.path()).await.unwrap();
    let (address, serving) = old.serve().await;
    let stream = TcpStream::connect(&address).await.unwrap();
    assert!(
        follow(&standby.wal, standby.path(), stream, Truncation::Never)
            .await
            .is_err()
    );
    assert!(serving.await.unwrap().unwrap_err().is::<Deposed>());
    // It acknowledges nothing more.
    let refused = old.wal.append("record 11").await;
    assert!(
        matches!(refused, Err(tidewal::Error::Closed)),
        "{refused:?}"
    );
    assert_eq!(standby.wal.durable_lsn(), Lsn::ZERO);
}

/// The standby requested records again that it had received and not yet made durable. They were appended twice.
#[tokio::test]
async fn regression_a_standby_that_connects_again_at_once_takes_each_record_once() {
    let (primary, slow) = (Machine::new().await, SimDisk::new(1));
    primary.append(1, 5).await;
    let (address, _serving) = primary.serve().await;
    let wal = Wal::options().open_on(&slow, "wal").await.unwrap();
    slow.set_sync_time(Duration::from_millis(500));
    let dir = tempfile::tempdir().unwrap();
    let written = async {
        while wal.stats().records < 5 {
            tokio::task::yield_now().await;
        }
    };
    let mut durable = wal.subscribe_durable();
    let reached = async { while durable.next().await.unwrap() < Lsn::new(5) {} };
    let stream = TcpStream::connect(&address).await.unwrap();
    tokio::select! {
        ended = follow(&wal, dir.path(), stream, Truncation::Never) => panic!("{ended:?}"),
        () = written => {}
    }
    // The connection is broken before anything is durable.
    let stream = TcpStream::connect(&address).await.unwrap();
    tokio::select! {
        ended = follow(&wal, dir.path(), stream, Truncation::Never) => panic!("{ended:?}"),
        () = reached => {}
    }
    assert_eq!(wal.sync().await.unwrap(), Lsn::new(5));
}

/// A peer that lost its power with the connection open was waited for forever, and no other standby was served
/// in the meantime.
#[tokio::test(start_paused = true)]
async fn regression_a_silent_peer_blocks_no_standby_and_is_given_up() {
    let primary = on_simulated_disk(1).await;
    for number in 1..=5 {
        primary.append(format!("record {number}")).await.unwrap();
    }
    let (dir, listener) = (tempfile::tempdir().unwrap(), listener().await);
    let address = listener.local_addr().unwrap();
    let served = serve(&primary, dir.path(), listener);
    let clients = async {
        let mut mute = TcpStream::connect(address).await.unwrap();
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(&hello(0, 1)).await.unwrap();
        silent.write_all(&[0; 8]).await.unwrap();

        let standby = on_simulated_disk(2).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let mut durable = standby.subscribe_durable();
        let reached = async { while durable.next().await.unwrap() < Lsn::new(5) {} };
        let following = tempfile::tempdir().unwrap();
        tokio::select! {
            ended = follow(&standby, following.path(), stream, Truncation::Never) => panic!("{ended:?}"),
            () = reached => {}
        }

        let mut got = Vec::new();
        mute.read_to_end(&mut got).await.unwrap();
        assert!(got.is_empty());
        silent.read_to_end(&mut got).await.unwrap();
        assert!(got.starts_with(&hello(5, 1)));
        assert!(primary.holds().is_empty(), "{:?}", primary.holds());
    };
    tokio::select! {
        ended = served => panic!("{ended:?}"),
        done = timeout(Duration::from_secs(60), clients) => done.unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_primary_is_given_up() {
    let standby = on_simulated_disk(1).await;
    let (dir, listener) = (tempfile::tempdir().unwrap(), listener().await);
    let stream = TcpStream::connect(listener.local_addr().unwrap());
    let following = follow(
        &standby,
        dir.path(),
        stream.await.unwrap(),
        Truncation::Never,
    );
    let (mut primary, _) = listener.accept().await.unwrap();
    primary.write_all(&hello(0, 1)).await.unwrap();
    primary.write_all(&[0; 8]).await.unwrap();
    let ended = timeout(Duration::from_secs(60), following).await.unwrap();
    assert!(
        matches!(ended, Err(FollowError::Connection(_))),
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_news_stays() {
    let (primary, standby) = (on_simulated_disk(1).await, on_simulated_disk(2).await);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listener = listener().await;
    let stream = TcpStream::connect(listener.local_addr().unwrap());
    let stream = stream.await.unwrap();
    tokio::select! {
        ended = serve(&primary, one.path(), listener) => panic!("{ended:?}"),
        ended = follow(&standby, two.path(), stream, Truncation::Never) => panic!("{ended:?}"),
        () = tokio::time::sleep(Duration::from_secs(3600)) => {}
    }
    assert_eq!(primary.holds().len(), 1);
}

/// A standby that needs what was truncated connected again and again.
#[tokio::test]
async fn a_standby_that_needs_truncated_records_ends() {
    let (primary, standby) = (Machine::new().await, Machine::new().await);
    for _ in 0..4 {
        primary.wal.append(vec![0; 40 * 1024]).await.unwrap();
    }
    primary.wal.truncate_before(Lsn::new(5)).await.unwrap();
    let (address, _serving) = primary.serve().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let ended = follow(&standby.wal, standby.path(), stream, Truncation::Never).await;
    assert!(matches!(ended, Err(FollowError::Final(_))), "{ended:?}");
}

/// On a disk whose time is tokio's, so the clock can be paused.
async fn on_simulated_disk(seed: u64) -> Wal {
    let disk = SimDisk::new(seed);
    Wal::options().open_on(&disk, "wal").await.unwrap()
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// The bytes of a hello without its history.
fn hello(end: u64, first: u64) -> Vec<u8> {
    [
        b"tidesby2".as_slice(),
        &end.to_be_bytes(),
        &first.to_be_bytes(),
    ]
    .concat()
}
