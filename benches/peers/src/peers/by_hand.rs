//! Two common hand-written solutions. Both write a length and the payload to a file opened for appending,
//! without checksums and without recovery.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::{Answered, AsyncLog, Entry, MIB, Recovery, tasks};
use crate::workload::Call;

pub const MUTEX: Entry = Entry {
    name: "by-hand-mutex",
    of: None,
    how: "`tokio::sync::Mutex` around a `tokio::fs::File`; `write_all`, `flush`, `sync_data` for each append",
    calls: &[Call::Durable, Call::Written],
    open: |dir, _| Ok(tasks(Mutexed::create(dir)?)),
    ..Entry::BASE
};

pub const CHANNEL: Entry = Entry {
    name: "by-hand-channel",
    of: None,
    how: "`mpsc`, `recv_many`, one `write_all` and `sync_data` in one `spawn_blocking` for each batch, answers by `oneshot`",
    calls: &[Call::Durable, Call::Written],
    pipelines: true,
    open: |dir, _| Ok(tasks(Channel::create(dir, File::sync_data)?)),
    recovery: Some(Recovery { fill, read }),
    ..Entry::BASE
};

pub const CONTROL: Entry = Entry {
    name: "control-without-sync",
    of: None,
    how: "`by-hand-channel` without its `sync_data`",
    open: |dir, _| Ok(tasks(Channel::create(dir, |_| Ok(()))?)),
    ..Entry::BASE
};

fn create(dir: &Path) -> Result<File> {
    let file = File::options()
        .append(true)
        .create_new(true)
        .open(dir.join("log"))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// After a snapshot, such a log starts again with an empty file. Here this counts as a truncation.
fn start_again(file: &File) -> Result<()> {
    file.set_len(0)?;
    Ok(file.sync_all()?)
}

fn frame(into: &mut Vec<u8>, payload: &[u8]) -> Result<()> {
    into.extend_from_slice(&u32::try_from(payload.len())?.to_le_bytes());
    into.extend_from_slice(payload);
    Ok(())
}

struct Mutexed {
    file: Mutex<tokio::fs::File>,
    again: File,
}

impl Mutexed {
    fn create(dir: &Path) -> Result<Self> {
        let file = create(dir)?;
        Ok(Self {
            again: file.try_clone()?,
            file: Mutex::new(tokio::fs::File::from_std(file)),
        })
    }
}

impl Mutexed {
    /// The `flush`, which is often forgotten, costs nothing: `sync_data` also waits for the write, but does not
    /// report its error.
    async fn write(&self, payload: &[u8]) -> Result<MutexGuard<'_, tokio::fs::File>> {
        let mut framed = Vec::with_capacity(payload.len() + 4);
        frame(&mut framed, payload)?;
        let mut file = self.file.lock().await;
        file.write_all(&framed).await?;
        file.flush().await?;
        Ok(file)
    }
}

impl AsyncLog for Mutexed {
    type Pending = std::future::Ready<Result<()>>;

    async fn submit(&self, payload: Bytes) -> Result<Self::Pending> {
        let file = self.write(&payload).await?;
        file.sync_data().await?;
        Ok(std::future::ready(Ok(())))
    }

    async fn append_written(&self, payload: Bytes) -> Result<()> {
        self.write(&payload).await.map(drop)
    }

    async fn trim(&self) -> Result<()> {
        start_again(&self.again)
    }
}

struct Waiting {
    payload: Bytes,
    is_synced: bool,
    answer: oneshot::Sender<()>,
}

struct Channel {
    requests: mpsc::Sender<Waiting>,
    again: File,
}

impl Channel {
    fn create(dir: &Path, sync: fn(&File) -> std::io::Result<()>) -> Result<Self> {
        let file = create(dir)?;
        let again = file.try_clone()?;
        let (requests, waiting) = mpsc::channel(MOST_AT_ONCE);
        tokio::spawn(write(file, waiting, sync));
        Ok(Self { requests, again })
    }
}

/// The task that owns the file. With `tokio::fs`, each batch would need two calls of `spawn_blocking`, for the
/// write and for the sync, which is slower.
async fn write(
    mut file: File,
    mut waiting: mpsc::Receiver<Waiting>,
    sync: fn(&File) -> std::io::Result<()>,
) -> Result<()> {
    let (mut batch, mut bytes) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
        bytes.clear();
        for waiting in &batch {
            frame(&mut bytes, &waiting.payload)?;
        }
        let is_synced = batch.iter().any(|waiting| waiting.is_synced);
        (file, bytes) = spawn_blocking(move || {
            file.write_all(&bytes)?;
            if is_synced {
                sync(&file)?;
            }
            anyhow::Ok((file, bytes))
        })
        .await??;
        for waiting in batch.drain(..) {
            let _ = waiting.answer.send(());
        }
    }
    Ok(())
}

impl Channel {
    async fn send(&self, payload: Bytes, is_synced: bool) -> Result<Answered> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            payload,
            is_synced,
            answer,
        };
        let sent = self.requests.send(waiting).await;
        sent.map_err(|_| anyhow!("the writer has ended"))?;
        Ok(Answered(answered))
    }
}

impl AsyncLog for Channel {
    type Pending = Answered;

    async fn submit(&self, payload: Bytes) -> Result<Answered> {
        self.send(payload, true).await
    }

    async fn append_written(&self, payload: Bytes) -> Result<()> {
        self.send(payload, false).await?.await
    }

    async fn trim(&self) -> Result<()> {
        start_again(&self.again)
    }
}

fn fill(dir: &Path, count: usize, len: usize) -> Result<()> {
    let mut file = BufWriter::new(create(dir)?);
    let mut framed = Vec::new();
    frame(&mut framed, &vec![0x5a; len])?;
    for _ in 0..count {
        file.write_all(&framed)?;
    }
    Ok(file.into_inner()?.sync_all()?)
}

/// The common reader for such a file: a buffered reader, and separate memory for each record.
fn read(dir: &Path) -> Result<(u64, u64)> {
    let mut file = BufReader::with_capacity(MIB, File::open(dir.join("log"))?);
    let (mut records, mut bytes, mut len) = (0, 0, [0; 4]);
    while !file.fill_buf()?.is_empty() {
        file.read_exact(&mut len)?;
        let mut payload = vec![0; u32::from_le_bytes(len) as usize];
        file.read_exact(&mut payload)?;
        records += 1;
        bytes += std::hint::black_box(payload).len() as u64;
    }
    Ok((records, bytes))
}

const MOST_AT_ONCE: usize = 4096;
