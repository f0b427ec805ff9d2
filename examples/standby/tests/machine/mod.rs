//! A machine with a log, which serves or follows.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::path::Path;

use standby::{Error, Truncation, follow, serve};
use tidewal::{Lsn, Wal};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A machine: its directory and its log.
pub struct Machine {
    pub dir: tempfile::TempDir,
    pub wal: Wal,
}

impl Machine {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Wal::options().segment_size(64 * 1024);
        let wal = options.open(dir.path().join("wal")).await.unwrap();
        Self { dir, wal }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub async fn append(&self, from: u64, upto: u64) {
        for number in from..=upto {
            let lsn = self.wal.append(format!("record {number}")).await.unwrap();
            assert_eq!(lsn, Lsn::new(number));
        }
    }

    /// Serves in the background. Returns the address and the task.
    pub async fn serve(&self) -> (String, JoinHandle<Result<(), Error>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (wal, dir) = (self.wal.clone(), self.path().to_owned());
        (
            address,
            tokio::spawn(async move { serve(&wal, &dir, listener).await }),
        )
    }

    /// Follows until its log is durable up to `lsn`. Then the connection breaks.
    pub async fn follow(&self, address: &str, lsn: u64) {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut durable = self.wal.subscribe_durable();
        let reached = async { while durable.next().await.unwrap() < Lsn::new(lsn) {} };
        tokio::select! {
            ended = follow(&self.wal, self.path(), stream, Truncation::Never) => panic!("{ended:?}"),
            () = reached => {}
        }
    }

    /// The records that a restart reads.
    pub async fn records(self) -> Vec<String> {
        self.wal.close().await.unwrap();
        let mut recovery = Wal::recover(self.dir.path().join("wal")).await.unwrap();
        let mut records = Vec::new();
        while let Some(record) = recovery.try_next().await.unwrap() {
            records.push(String::from_utf8(record.payload.to_vec()).unwrap());
        }
        records
    }
}
