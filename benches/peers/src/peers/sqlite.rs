//! SQLite in WAL mode with `synchronous=FULL`, which syncs the log at each commit: one connection on a separate
//! thread, to which tasks send their inserts, as with `tokio-rusqlite` and others.
//!
//! According to its source (3.54.1): with `FULL` the pager sets the flags that `WAL_SYNC_FLAGS` reads, and
//! `walFrames` then calls `sqlite3OsSync` for a commit before it returns.
//!
//! It is measured with a transaction for each append, and with one transaction for all waiting appends.
//! Otherwise the options are the defaults: a checkpoint every 1,000 pages.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Answered, AsyncLog, Entry, Recovery, tasks};
use crate::workload::Call;

pub const EACH: Entry = Entry {
    name: "sqlite",
    of: Some("rusqlite"),
    how: "WAL mode, `synchronous=FULL`, one connection on a thread, a transaction for each append",
    is_variant: true,
    open: |dir, _| Ok(tasks(Sqlite::open(dir, 1)?)),
    ..Entry::BASE
};

pub const BATCHED: Entry = Entry {
    name: "sqlite-batched",
    of: Some("rusqlite"),
    how: "the same, with a transaction for all that wait",
    calls: &[Call::Durable, Call::Batch],
    pipelines: true,
    open: |dir, _| Ok(tasks(Sqlite::open(dir, MOST_AT_ONCE)?)),
    recovery: Some(Recovery { fill, read }),
    ..Entry::BASE
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

type Waiting = (Vec<Bytes>, oneshot::Sender<()>);

impl Sqlite {
    fn open(dir: &Path, at_once: usize) -> Result<Self> {
        let path = dir.join("log.sqlite");
        let connection = create(&path)?;
        let (requests, waiting) = mpsc::channel(MOST_AT_ONCE);
        let thread = thread::Builder::new().name("sqlite".into());
        thread.spawn(move || insert_all(&connection, waiting, at_once))?;
        Ok(Self { path, requests })
    }
}

fn create(path: &Path) -> Result<Connection> {
    let connection = connect(path)?;
    let table = "CREATE TABLE log (lsn INTEGER PRIMARY KEY, payload BLOB NOT NULL)";
    connection.execute(table, ())?;
    Ok(connection)
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
        insert(connection, batch.iter().flat_map(|(payloads, _)| payloads))?;
        for (_, answer) in batch.drain(..) {
            let _ = answer.send(());
        }
    }
    Ok(())
}

/// In one transaction.
fn insert<'a>(connection: &Connection, payloads: impl Iterator<Item = &'a Bytes>) -> Result<()> {
    let transaction = connection.unchecked_transaction()?;
    let mut insert = connection.prepare_cached("INSERT INTO log (payload) VALUES (?1)")?;
    for payload in payloads {
        insert.execute([&payload[..]])?;
    }
    drop(insert);
    Ok(transaction.commit()?)
}

impl Sqlite {
    async fn send(&self, payloads: Vec<Bytes>) -> Result<Answered> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send((payloads, answer)).await;
        sent.map_err(|_| anyhow!("the connection's thread has ended"))?;
        Ok(Answered(answered))
    }
}

impl AsyncLog for Sqlite {
    type Pending = Answered;

    async fn submit(&self, payload: Bytes) -> Result<Answered> {
        self.send(vec![payload]).await
    }

    async fn append_batch(&self, payloads: Vec<Bytes>) -> Result<()> {
        self.send(payloads).await?.await
    }

    /// The pages stay in the file, and its log starts again from the beginning, so neither has to grow.
    async fn trim(&self) -> Result<()> {
        let connection = connect(&self.path)?;
        connection.execute("DELETE FROM log", ())?;
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", (), |_| Ok(()))?;
        Ok(())
    }
}

fn fill(dir: &Path, count: usize, len: usize) -> Result<()> {
    let connection = create(&dir.join("log.sqlite"))?;
    let payload = Bytes::from(vec![0x5a; len]);
    insert(&connection, std::iter::repeat_n(&payload, count))
}

fn read(dir: &Path) -> Result<(u64, u64)> {
    let connection = connect(&dir.join("log.sqlite"))?;
    let mut select = connection.prepare("SELECT payload FROM log ORDER BY lsn")?;
    let (mut rows, mut records, mut bytes) = (select.query(())?, 0, 0);
    while let Some(row) = rows.next()? {
        records += 1;
        bytes += row.get_ref(0)?.as_blob()?.to_vec().len() as u64;
    }
    Ok((records, bytes))
}

const MOST_AT_ONCE: usize = 4096;

/// The number of this option in SQLite.
const FULL: i64 = 2;
