//! The peers, one a file, behind one small trait.
//!
//! Each is opened once for a whole run, brought to the state in which a service has it after its
//! first minutes (segments written before, spares ready) if it knows such a state, and trimmed
//! between measurements, while no clock runs.

mod by_hand;
mod chunked_wal;
mod floor;
mod okaywal;
mod raft_engine;
mod sqlite;
mod tidewal;
mod wal_db;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use bytes::Bytes;

use crate::measure::{Producer, Running, Samples};

/// A log to which producers append.
pub trait Peer {
    /// Starts a producer in a closed loop.
    fn start(&self, producer: Producer) -> Running;

    /// Gives back the space of what was appended. No producer is there.
    fn trim(&self) -> Result<()>;
}

/// One of those that are compared.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    /// The crate whose version matters.
    pub of: Option<&'static str>,
    /// The call that was chosen.
    pub how: &'static str,
    pub open: fn(&Path, State) -> Result<Box<dyn Peer>>,
}

/// The state to open a log in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As a service has it after its first minutes.
    Settled,
    /// As it is created, without big files, which only make a trace long.
    New,
}

/// All of them, in the order of the tables.
pub const ALL: &[Entry] = &[
    floor::ENTRY,
    tidewal::ENTRY,
    by_hand::MUTEX,
    by_hand::CHANNEL,
    okaywal::THREADS,
    okaywal::SPAWNED,
    raft_engine::THREADS,
    raft_engine::SPAWNED,
    wal_db::THREADS,
    wal_db::SPAWNED,
    chunked_wal::EACH,
    chunked_wal::BATCHED,
    sqlite::EACH,
    sqlite::BATCHED,
];

/// Does not sync. A check that does not catch it is broken.
pub const CONTROL: Entry = by_hand::CONTROL;

pub use sqlite::version as sqlite_version;

/// What the others are compared with.
pub const TIDEWAL: &str = tidewal::ENTRY.name;

/// One thread, which writes and syncs, however many producers the others have.
pub const FLOOR: &str = floor::ENTRY.name;

/// A log whose append is a future.
pub trait AsyncLog: Send + Sync + 'static {
    fn append(&self, payload: Bytes) -> impl Future<Output = Result<()>> + Send;

    fn trim(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A log whose append blocks the thread.
pub trait BlockingLog: Send + Sync + 'static {
    fn append(&self, producer: usize, payload: &[u8]) -> Result<()>;

    fn trim(&self) -> Result<()>;
}

/// Producers are tasks of the runtime.
pub struct Tasks<L>(Arc<L>);

/// Producers are threads: the peer without a runtime, at its best.
pub struct Threads<L>(Arc<L>);

/// Producers are tasks, each append goes through `spawn_blocking`: the peer in an async service.
pub struct Spawned<L>(Arc<L>);

fn tasks<L: AsyncLog>(log: L) -> Box<dyn Peer> {
    Box::new(Tasks(Arc::new(log)))
}

fn threads<L: BlockingLog>(log: L) -> Box<dyn Peer> {
    Box::new(Threads(Arc::new(log)))
}

fn spawned<L: BlockingLog>(log: L) -> Box<dyn Peer> {
    Box::new(Spawned(Arc::new(log)))
}

impl<L: AsyncLog> Peer for Tasks<L> {
    fn start(&self, producer: Producer) -> Running {
        Running::Task(tokio::spawn(append_all(Arc::clone(&self.0), producer)))
    }

    fn trim(&self) -> Result<()> {
        tokio::runtime::Handle::current().block_on(self.0.trim())
    }
}

async fn append_all(log: Arc<impl AsyncLog>, mut producer: Producer) -> Result<Samples> {
    while let Some(payload) = producer.next() {
        log.append(payload).await?;
        producer.acknowledged();
    }
    Ok(producer.finish())
}

impl<L: BlockingLog> Peer for Threads<L> {
    fn start(&self, producer: Producer) -> Running {
        let log = Arc::clone(&self.0);
        let thread = thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn(move || append_all_blocking(&*log, producer));
        Running::Thread(thread.expect("the system has a thread for each producer"))
    }

    fn trim(&self) -> Result<()> {
        self.0.trim()
    }
}

fn append_all_blocking(log: &impl BlockingLog, mut producer: Producer) -> Result<Samples> {
    while let Some(payload) = producer.next() {
        log.append(producer.index, &payload)?;
        producer.acknowledged();
    }
    Ok(producer.finish())
}

impl<L: BlockingLog> Peer for Spawned<L> {
    fn start(&self, producer: Producer) -> Running {
        Running::Task(tokio::spawn(spawn_all(Arc::clone(&self.0), producer)))
    }

    fn trim(&self) -> Result<()> {
        self.0.trim()
    }
}

async fn spawn_all(log: Arc<impl BlockingLog>, mut producer: Producer) -> Result<Samples> {
    while let Some(payload) = producer.next() {
        let (log, index) = (Arc::clone(&log), producer.index);
        tokio::task::spawn_blocking(move || log.append(index, &payload)).await??;
        producer.acknowledged();
    }
    Ok(producer.finish())
}

/// Syncs every file of a directory, so that no peer starts with another's, or its own, old bytes
/// still to be written.
fn sync_files(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    Ok(File::open(dir)?.sync_all()?)
}

const STACK: usize = 256 * 1024;

const MIB: usize = 1024 * 1024;

/// Where a peer lets one choose the size of its files: that of tidewal's by default.
const SEGMENT: usize = 64 * MIB;
