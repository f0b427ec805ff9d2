//! `chunked-wal`: a separate thread writes and syncs what is sent to it, and then calls back.
//!
//! According to its source (0.2.3): `send_pending(true, callback)` -> `FlushWorker::run_inner` ->
//! `sync_data_files` -> `sync_data`, and the callbacks of the batch after that.
//!
//! Its group commit always waits for more requests, for the whole of `flush_batch_wait` (1 ms by default). With
//! a wait of zero it takes one request at a time. It is therefore measured twice: with its defaults and one
//! request for each append, and without the wait behind a hand-written batching task. Records are encoded as in
//! its own benchmark, without a checksum. It cannot write a file ahead, so each sync also writes the file's new
//! length.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use chunked_wal::{
    Callback, ChunkId, ChunkedWal, Config, Segment, StateMachine, WAL, WALRecord, WalTypes,
};
use codeq::{Decode, Encode};
use tokio::sync::{mpsc, oneshot};

use super::{Answered, AsyncLog, Entry, SEGMENT, tasks};

pub const EACH: Entry = Entry {
    name: "chunked-wal",
    of: Some("chunked-wal"),
    how: "`append` and `send_pending(true, ..)` behind a mutex for each append, default options (it waits 1 ms for more)",
    is_variant: true,
    open: |dir, _| Ok(tasks(Each(Mutex::new(Log::open(dir, None)?)))),
    ..Entry::BASE
};

pub const BATCHED: Entry = Entry {
    name: "chunked-wal-batched",
    of: Some("chunked-wal"),
    how: "a task with `recv_many` before it, one `send_pending(true, ..)` a batch, `flush_batch_wait` of zero",
    pipelines: true,
    open: |dir, _| Ok(tasks(Batched::open(dir)?)),
    ..Entry::BASE
};

struct Log {
    wal: ChunkedWal<Types>,
    records: u64,
}

impl Log {
    fn open(dir: &Path, wait: Option<Duration>) -> Result<Self> {
        let dir = dir.to_str().context("a path in UTF-8")?;
        let config = Arc::new(Config {
            chunk_max_size: Some(SEGMENT),
            flush_batch_wait: wait,
            ..Config::new(dir)
        });
        let wal = ChunkedWal::open(config, &mut Nothing, Arc::new(|_, _| {}))?;
        Ok(Self { wal, records: 0 })
    }

    fn append(&mut self, payload: &Bytes) -> io::Result<()> {
        self.records += 1;
        let action = Action(self.records, payload.clone());
        self.wal.append(&WALRecord::Action(action))?;
        self.wal.try_close_full_chunk(&Nothing)?;
        Ok(())
    }

    /// Hands over the appended records. The answer comes after the sync.
    fn send(&mut self) -> io::Result<oneshot::Receiver<io::Result<()>>> {
        let (answer, answered) = oneshot::channel();
        self.wal.send_pending(true, Some(Answer(answer)))?;
        Ok(answered)
    }

    fn trim(&mut self) -> Result<()> {
        let closed = self.wal.drain_closed_chunks_while(|_| true);
        self.wal.send_remove_chunks(closed)?;
        Ok(self.wal.wait_worker_idle()?)
    }
}

struct Each(Mutex<Log>);

impl Each {
    fn send(&self, payload: &Bytes) -> io::Result<oneshot::Receiver<io::Result<()>>> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(payload)?;
        log.send()
    }
}

impl AsyncLog for Each {
    type Pending = std::future::Ready<Result<()>>;

    async fn submit(&self, payload: Bytes) -> Result<Self::Pending> {
        self.send(&payload)?.await??;
        Ok(std::future::ready(Ok(())))
    }

    async fn trim(&self) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).trim()
    }
}

struct Batched(mpsc::Sender<Request>);

enum Request {
    Append(Bytes, oneshot::Sender<()>),
    Trim(oneshot::Sender<()>),
}

impl Batched {
    fn open(dir: &Path) -> Result<Self> {
        let log = Log::open(dir, Some(Duration::ZERO))?;
        let (requests, waiting) = mpsc::channel(MOST_AT_ONCE);
        tokio::spawn(batch(log, waiting));
        Ok(Self(requests))
    }

    async fn ask(&self, ask: impl FnOnce(oneshot::Sender<()>) -> Request) -> Result<Answered> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(ask(answer)).await;
        sent.map_err(|_| anyhow!("the writer has ended"))?;
        Ok(Answered(answered))
    }
}

async fn batch(mut log: Log, mut waiting: mpsc::Receiver<Request>) -> Result<()> {
    let (mut requests, mut appended) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut requests, MOST_AT_ONCE).await > 0 {
        for request in requests.drain(..) {
            match request {
                Request::Append(payload, answer) => {
                    log.append(&payload)?;
                    appended.push(answer);
                }
                Request::Trim(answer) => {
                    log.trim()?;
                    let _ = answer.send(());
                }
            }
        }
        log.send()?.await??;
        for answer in appended.drain(..) {
            let _ = answer.send(());
        }
    }
    Ok(())
}

impl AsyncLog for Batched {
    type Pending = Answered;

    async fn submit(&self, payload: Bytes) -> Result<Answered> {
        self.ask(|answer| Request::Append(payload, answer)).await
    }

    async fn trim(&self) -> Result<()> {
        self.ask(Request::Trim).await?.await
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Types;

impl WalTypes for Types {
    type Action = Action;
    type Checkpoint = u64;
    type Callback = Answer;
}

struct Answer(oneshot::Sender<io::Result<()>>);

impl Callback for Answer {
    fn send(self, result: io::Result<()>) {
        let _ = self.0.send(result);
    }
}

/// A number and a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Action(u64, Bytes);

const ACTION: u32 = 1;

impl Encode for Action {
    fn encode<W: Write>(&self, mut to: W) -> io::Result<usize> {
        let len = u32::try_from(self.1.len()).map_err(io::Error::other)?;
        let head = ACTION.encode(&mut to)? + self.0.encode(&mut to)? + len.encode(&mut to)?;
        to.write_all(&self.1)?;
        Ok(head + self.1.len())
    }

    fn type_id(&self) -> Option<u32> {
        Some(ACTION)
    }
}

impl Decode for Action {
    fn decode<R: Read>(mut from: R) -> io::Result<Self> {
        if u32::decode(&mut from)? != ACTION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let number = u64::decode(&mut from)?;
        let mut payload = vec![0; u32::decode(&mut from)? as usize];
        from.read_exact(&mut payload)?;
        Ok(Self(number, payload.into()))
    }
}

/// The state machine keeps nothing of the logged records.
struct Nothing;

impl StateMachine<Types> for Nothing {
    type Error = Infallible;

    fn apply(&mut self, _: &WALRecord<Types>, _: ChunkId, _: Segment) -> Result<(), Infallible> {
        Ok(())
    }

    fn checkpoint(&self) -> u64 {
        0
    }
}

const MOST_AT_ONCE: usize = 4096;
