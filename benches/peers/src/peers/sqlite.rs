//! SQLite in WAL mode with `synchronous=FULL`, which syncs the log at each commit: one connection on
//! a thread of its own, to which tasks send their inserts, as `tokio-rusqlite` and others do it.
//!
//! Seen in its source (3.54.1): with `FULL` the pager sets the flags that `WAL_SYNC_FLAGS` reads, and
//! `walFrames` then calls `sqlite3OsSync` for a commit before it returns.
//!
//! Once with a transaction for each append, once with one for all that wait. The options are the
//! defaults otherwise: a checkpoint every 1,000 pages.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{AsyncLog, Entry, tasks};

pub const EACH: Entry = Entry {
    name: "sqlite",
    of: Some("rusqlite"),
    how: "WAL mode, `synchronous=FULL`, one connection on a thread, a transaction for each append",
    open: |dir, _| Ok(tasks(Sqlite::open(dir, 1)?)),
};

pub const BATCHED: Entry = Entry {
    name: "sqlite-batched",
    of: Some("rusqlite"),
    how: "the same, with a transaction for all that wait",
    open: |dir, _| Ok(tasks(Sqlite::open(dir, MOST_AT_ONCE)?)),
};

/// The library, and whether it was built as distributions build it.
pub fn version() -> String {
    let version = rusqlite::version();
    match option_env!("LIBSQLITE3_FLAGS") {
        Some(flags) if flags.contains("HAVE_FDATASYNC") => format!("{version}, with fdatasync"),
        _ => format!("{version}, built without HAVE_FDATASYNC: it uses fsync, see README.md"),
    }
}

struct Sqlite {
    path: PathBuf,
    requests: mpsc::Sender<Waiting>,
}

type Waiting = (Bytes, oneshot::Sender<()>);

impl Sqlite {
    fn open(dir: &Path, at_once: usize) -> Result<Self> {
        let path = dir.join("log.sqlite");
        let connection = connect(&path)?;
        connection.execute(
            "CREATE TABLE log (lsn INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
            (),
        )?;
        let (requests, waiting) = mpsc::channel(MOST_AT_ONCE);
        let thread = thread::Builder::new().name("sqlite".into());
        thread.spawn(move || insert_all(&connection, waiting, at_once))?;
        Ok(Self { path, requests })
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    ensure!(mode == "wal", "no WAL mode here, but {mode}");
    connection.pragma_update(None, "synchronous", "FULL")?;
    let level: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    ensure!(level == FULL, "synchronous is {level}");
    Ok(connection)
}

fn insert_all(
    connection: &Connection,
    mut waiting: mpsc::Receiver<Waiting>,
    at_once: usize,
) -> Result<()> {
    let mut batch = Vec::new();
    while waiting.blocking_recv_many(&mut batch, at_once) > 0 {
        let transaction = connection.unchecked_transaction()?;
        let mut insert = connection.prepare_cached("INSERT INTO log (payload) VALUES (?1)")?;
        for (payload, _) in &batch {
            insert.execute([&payload[..]])?;
        }
        drop(insert);
        transaction.commit()?;
        for (_, answer) in batch.drain(..) {
            let _ = answer.send(());
        }
    }
    Ok(())
}

impl AsyncLog for Sqlite {
    async fn append(&self, payload: Bytes) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send((payload, answer)).await;
        sent.map_err(|_| anyhow!("the connection's thread has ended"))?;
        answered.await.context("the insert has failed")
    }

    /// The pages stay in the file, and its log is begun again, so that neither has to grow.
    async fn trim(&self) -> Result<()> {
        let connection = connect(&self.path)?;
        connection.execute("DELETE FROM log", ())?;
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))?;
        Ok(())
    }
}

const MOST_AT_ONCE: usize = 4096;

/// How SQLite numbers it.
const FULL: i64 = 2;
