//! A standby follows a primary over broken connections and takes over. The old primary is fenced.

use std::path::Path;
use std::time::Duration;

use standby::{Deposed, Error, follow, promote, serve};
use tidewal::sim::SimDisk;
use tidewal::{Lsn, Wal};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A machine: its directory and its log.
struct Machine {
    dir: tempfile::TempDir,
    wal: Wal,
}

impl Machine {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Wal::options().segment_size(64 * 1024);
        let wal = options.open(dir.path().join("wal")).await.unwrap();
        Self { dir, wal }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    async fn append(&self, from: u64, upto: u64) {
        for number in from..=upto {
            let lsn = self.wal.append(format!("record {number}")).await.unwrap();
            assert_eq!(lsn, Lsn::new(number));
        }
    }

    /// Serves in the background. Returns the address and the task.
    async fn serve(&self) -> (String, JoinHandle<Result<(), Error>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (wal, dir) = (self.wal.clone(), self.path().to_owned());
        (
            address,
            tokio::spawn(async move { serve(&wal, &dir, listener).await }),
        )
    }

    /// Follows until its log is durable up to `lsn`. Then the connection breaks.
    async fn follow(&self, address: &str, lsn: u64) {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut durable = self.wal.subscribe_durable();
        let reached = async { while durable.next().await.unwrap() < Lsn::new(lsn) {} };
        tokio::select! {
            ended = follow(&self.wal, self.path(), stream) => panic!("{ended:?}"),
            () = reached => {}
        }
    }

    /// The records that a restart reads.
    async fn records(self) -> Vec<String> {
        self.wal.close().await.unwrap();
        let mut recovery = Wal::recover(self.dir.path().join("wal")).await.unwrap();
        let mut records = Vec::new();
        while let Some(record) = recovery.try_next().await.unwrap() {
            records.push(String::from_utf8(record.payload.to_vec()).unwrap());
        }
        records
    }
}

#[tokio::test]
async fn a_standby_takes_over_and_the_old_primary_is_fenced() {
    let (first, second) = (Machine::new().await, Machine::new().await);
    promote(first.path()).unwrap();
    first.append(1, 500).await;
    let (address, serving) = first.serve().await;
    second.follow(&address, 500).await;
    // The connection is broken. The primary continues, and keeps the records that the standby lacks.
    first.append(501, 600).await;
    second.follow(&address, 600).await;

    // The standby takes over. What the old primary still appends is lost.
    assert_eq!(promote(second.path()).unwrap(), 2);
    second.append(601, 650).await;
    first.append(601, 602).await;

    // By mistake, the new primary is told to follow the old one. The old one learns that it was deposed.
    let stream = TcpStream::connect(&address).await.unwrap();
    assert!(follow(&second.wal, second.path(), stream).await.is_err());
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
    promote(standby.path()).unwrap();
    let (address, serving) = old.serve().await;
    let stream = TcpStream::connect(&address).await.unwrap();
    assert!(follow(&standby.wal, standby.path(), stream).await.is_err());
    assert!(serving.await.unwrap().unwrap_err().is::<Deposed>());
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
        ended = follow(&wal, dir.path(), stream) => panic!("{ended:?}"),
        () = written => {}
    }
    // The connection is broken before anything is durable.
    let stream = TcpStream::connect(&address).await.unwrap();
    tokio::select! {
        ended = follow(&wal, dir.path(), stream) => panic!("{ended:?}"),
        () = reached => {}
    }
    assert_eq!(wal.sync().await.unwrap(), Lsn::new(5));
}
