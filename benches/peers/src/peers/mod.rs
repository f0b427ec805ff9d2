//! The peers, one in each file, behind one small trait.
//!
//! Each is opened once for a whole run. If it has such a state, it is brought to the state after a service's
//! first minutes (segments written before, spares ready). It is trimmed between measurements, while no clock is
//! running.

mod by_hand;
mod chunked_wal;
mod floor;
mod okaywal;
mod raft_engine;
mod sqlite;
mod tidewal;
mod wal_db;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::measure::{Producer, Running, Samples};
use crate::workload::{Call, Workload};

/// A log to which producers append.
pub trait Peer {
    /// Starts a producer.
    fn start(&self, producer: Producer) -> Running;

    /// Frees the space of the appended records. No producer is running.
    fn trim(&self) -> Result<()>;
}

/// One of the compared logs.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    /// The crate whose version is shown.
    pub of: Option<&'static str>,
    /// The call that is measured.
    pub how: &'static str,
    /// Whether another way to call the same peer is better in most cases.
    pub is_variant: bool,
    /// The kinds of append that it supports.
    pub calls: &'static [Call],
    /// Whether a producer can have several appends in flight.
    pub pipelines: bool,
    /// The states in which it can be measured.
    pub states: &'static [State],
    pub open: fn(&Path, State) -> Result<Box<dyn Peer>>,
    pub recovery: Option<Recovery>,
}

/// Reading a log back.
#[derive(Clone, Copy)]
pub struct Recovery {
    /// Writes this many records of this many bytes, durably, and closes the log.
    pub fill: fn(&Path, usize, usize) -> Result<()>,
    /// Opens the log and reads its records. Returns their number, and the bytes of their payloads.
    pub read: fn(&Path) -> Result<(u64, u64)>,
}

impl Entry {
    /// The properties of most peers. Each peer changes those in which it differs.
    const BASE: Self = Self {
        name: "",
        of: None,
        how: "",
        is_variant: false,
        calls: &[Call::Durable],
        pipelines: false,
        states: &[State::Settled, State::New],
        open: |_, _| bail!("it has no way to be opened"),
        recovery: None,
    };

    /// Whether it supports a workload and is measured with it.
    pub fn takes(&self, workload: &Workload) -> bool {
        self.name == FLOOR
            || (self.calls.contains(&workload.call)
                && self.states.contains(&workload.state)
                && (self.pipelines || workload.in_flight == 1)
                && (workload.variants || !self.is_variant))
    }
}

/// The state in which a log is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// After a service's first minutes.
    Settled,
    /// Newly created.
    New,
    /// Opened again after a clean close.
    Reopened,
    /// Newly created, without large files, which would only make a trace long.
    Traced,
}

/// All peers, in the order of the tables.
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

/// Does not sync. A check that passes it is broken.
pub const CONTROL: Entry = by_hand::CONTROL;

pub use sqlite::version as sqlite_version;

/// The baseline.
pub const TIDEWAL: &str = tidewal::ENTRY.name;

/// One thread that writes and syncs, however many producers the other peers have.
pub const FLOOR: &str = floor::ENTRY.name;

/// A log whose append is a future.
pub trait AsyncLog: Send + Sync + 'static {
    /// The answer to one append.
    type Pending: Future<Output = Result<()>> + Send;

    /// Hands over a record. The answer comes once it is durable.
    fn submit(&self, payload: Bytes) -> impl Future<Output = Result<Self::Pending>> + Send;

    fn append_written(&self, _payload: Bytes) -> impl Future<Output = Result<()>> + Send {
        async { bail!("it has no such append") }
    }

    fn append_batch(&self, _payloads: Vec<Bytes>) -> impl Future<Output = Result<()>> + Send {
        async { bail!("it has no atomic batches") }
    }

    fn trim(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A log whose append blocks the thread.
pub trait BlockingLog: Send + Sync + 'static {
    fn append(&self, producer: usize, payload: &[u8]) -> Result<()>;

    fn append_written(&self, _producer: usize, _payload: &[u8]) -> Result<()> {
        bail!("it has no such append")
    }

    fn append_batch(&self, _producer: usize, _payloads: &[Bytes]) -> Result<()> {
        bail!("it has no atomic batches")
    }

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

async fn append_all<L: AsyncLog>(log: Arc<L>, mut producer: Producer) -> Result<Samples> {
    match (producer.workload.call, producer.workload.in_flight) {
        (Call::Durable, 1) => {
            while let Some(payload) = producer.next() {
                log.submit(payload).await?.await?;
                producer.acknowledged();
            }
        }
        (Call::Durable, in_flight) => pipeline(&*log, &mut producer, in_flight).await?,
        (Call::Written, _) => {
            while let Some(payload) = producer.next() {
                log.append_written(payload).await?;
                producer.acknowledged();
            }
        }
        (Call::Batch, _) => {
            while let Some(payloads) = producer.next_batch() {
                log.append_batch(payloads).await?;
                producer.acknowledged();
            }
        }
    }
    Ok(producer.finish())
}

/// Submits until this many appends are in flight, then waits for the oldest answer, and submits again.
async fn pipeline<L: AsyncLog>(log: &L, producer: &mut Producer, in_flight: usize) -> Result<()> {
    let mut pending = VecDeque::with_capacity(in_flight);
    while let Some(payload) = producer.next() {
        pending.push_back(Box::pin(log.submit(payload).await?));
        if pending.len() == in_flight
            && let Some(oldest) = pending.pop_front()
        {
            oldest.await?;
            producer.acknowledged();
        }
    }
    for oldest in pending {
        oldest.await?;
        producer.acknowledged();
    }
    Ok(())
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
    let index = producer.index;
    match producer.workload.call {
        Call::Durable => {
            while let Some(payload) = producer.next() {
                log.append(index, &payload)?;
                producer.acknowledged();
            }
        }
        Call::Written => {
            while let Some(payload) = producer.next() {
                log.append_written(index, &payload)?;
                producer.acknowledged();
            }
        }
        Call::Batch => {
            while let Some(payloads) = producer.next_batch() {
                log.append_batch(index, &payloads)?;
                producer.acknowledged();
            }
        }
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

/// The answer of the thread or task that does the work.
pub struct Answered(oneshot::Receiver<()>);

impl Future for Answered {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| answer.context("the writer has failed"))
    }
}

/// Syncs every file of a directory, so no peer starts while old bytes are still to be written.
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

/// The size of files, where a peer lets the user choose it: the default of tidewal.
const SEGMENT: usize = 64 * MIB;
