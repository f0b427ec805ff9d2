//! What people write by hand. Both write a length and the payload to a file opened for appending,
//! without checksums, and without recovery.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::{AsyncLog, Entry, tasks};

pub const MUTEX: Entry = Entry {
    name: "by-hand-mutex",
    of: None,
    how: "`tokio::sync::Mutex` around a `tokio::fs::File`; `write_all`, `flush`, `sync_data` for each append",
    open: |dir, _| Ok(tasks(Mutexed::create(dir)?)),
};

pub const CHANNEL: Entry = Entry {
    name: "by-hand-channel",
    of: None,
    how: "`mpsc`, `recv_many`, one `write_all` and `sync_data` in one `spawn_blocking` for each batch, answers by `oneshot`",
    open: |dir, _| Ok(tasks(Channel::create(dir, File::sync_data)?)),
};

pub const CONTROL: Entry = Entry {
    name: "control-without-sync",
    of: None,
    how: "`by-hand-channel` without its `sync_data`",
    open: |dir, _| Ok(tasks(Channel::create(dir, |_| Ok(()))?)),
};

fn create(dir: &Path) -> Result<File> {
    let file = File::options()
        .append(true)
        .create_new(true)
        .open(dir.join("log"))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// After a snapshot one starts again with an empty file. That is a truncation here.
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

impl AsyncLog for Mutexed {
    /// The `flush`, which is often forgotten, costs nothing: `sync_data` would wait for the write,
    /// too, but keep its error for itself.
    async fn append(&self, payload: Bytes) -> Result<()> {
        let mut framed = Vec::with_capacity(payload.len() + 4);
        frame(&mut framed, &payload)?;
        let mut file = self.file.lock().await;
        file.write_all(&framed).await?;
        file.flush().await?;
        Ok(file.sync_data().await?)
    }

    async fn trim(&self) -> Result<()> {
        start_again(&self.again)
    }
}

type Waiting = (Bytes, oneshot::Sender<()>);

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

/// The task that has the file. Two threads' turns a batch (`tokio::fs` has a `spawn_blocking` for
/// the write and one for the sync) would be slower.
async fn write(
    mut file: File,
    mut waiting: mpsc::Receiver<Waiting>,
    sync: fn(&File) -> std::io::Result<()>,
) -> Result<()> {
    let (mut batch, mut bytes) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
        bytes.clear();
        for (payload, _) in &batch {
            frame(&mut bytes, payload)?;
        }
        (file, bytes) = spawn_blocking(move || {
            file.write_all(&bytes)?;
            sync(&file)?;
            anyhow::Ok((file, bytes))
        })
        .await??;
        for (_, answer) in batch.drain(..) {
            let _ = answer.send(());
        }
    }
    Ok(())
}

impl AsyncLog for Channel {
    async fn append(&self, payload: Bytes) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send((payload, answer)).await;
        sent.map_err(|_| anyhow!("the writer has ended"))?;
        answered.await.context("the writer has failed")
    }

    async fn trim(&self) -> Result<()> {
        start_again(&self.again)
    }
}

const MOST_AT_ONCE: usize = 4096;
