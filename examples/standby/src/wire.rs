//! The protocol: each side sends a hello. Then the primary sends records, and the standby sends durable LSNs.
//! Numbers are big endian, as tokio writes them.

use std::io;
use std::time::Duration;

use tidewal::{Lsn, Record};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::history::{Epoch, History};

/// The first message of each side.
#[derive(Clone, Debug)]
pub struct Hello {
    pub history: History,
    /// The last durable record of the sender's log.
    pub end: Lsn,
    /// The first record that the standby asks for. It is the last one that it has, if it has any. The primary
    /// answers with the first one that it can send.
    pub first: Lsn,
}

/// A record from the primary, or a heartbeat, whose payload is the oldest LSN of the primary's log.
pub struct Sent {
    pub lsn: Lsn,
    pub payload: Vec<u8>,
}

impl Sent {
    /// The oldest LSN of the primary's log, if this is a heartbeat: no record has LSN 0.
    pub fn oldest(&self) -> Option<Lsn> {
        let number = self.payload.as_slice().try_into().map(u64::from_be_bytes);
        (self.lsn == Lsn::ZERO).then(|| Lsn::new(number.unwrap_or(0)))
    }
}

/// A connection ends if nothing arrives for this time. TCP alone would wait forever for a peer without power.
const SILENCE: Duration = Duration::from_secs(10);

/// Waits for the peer, at most this time.
pub async fn within<T>(reading: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SILENCE, reading).await?
}

pub async fn write_hello(output: &mut (impl AsyncWrite + Unpin), hello: &Hello) -> io::Result<()> {
    let epochs = &hello.history.epochs;
    let numbers = epochs
        .iter()
        .map(|epoch| [epoch.term, epoch.id, epoch.first.get()]);
    let start = [hello.end.get(), hello.first.get(), epochs.len() as u64];
    let numbers = std::iter::once(start).chain(numbers).flatten();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(numbers.flat_map(u64::to_be_bytes));
    output.write_all(&bytes).await?;
    output.flush().await
}

pub async fn read_hello(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Hello> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        return Err(io::Error::other(
            "the peer does not use the standby protocol",
        ));
    }
    let (end, first) = (read_lsn(input).await?, read_lsn(input).await?);
    let mut history = History::default();
    for _ in 0..input.read_u64().await? {
        history.epochs.push(Epoch {
            term: input.read_u64().await?,
            id: input.read_u64().await?,
            first: read_lsn(input).await?,
        });
    }
    Ok(Hello {
        history,
        end,
        first,
    })
}

pub async fn write_record(
    output: &mut (impl AsyncWrite + Unpin),
    record: &Record,
) -> io::Result<()> {
    let len = u32::try_from(record.payload.len()).map_err(io::Error::other)?;
    output.write_u64(record.lsn.get()).await?;
    output.write_u32(len).await?;
    output.write_all(&record.payload).await
}

pub async fn write_heartbeat(
    output: &mut (impl AsyncWrite + Unpin),
    oldest: Lsn,
) -> io::Result<()> {
    output.write_u64(Lsn::ZERO.get()).await?;
    output.write_u32(8).await?;
    write_lsn(output, oldest).await?;
    output.flush().await
}

/// The next record, or a heartbeat.
pub async fn read_record(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Sent> {
    let lsn = Lsn::new(within(input.read_u64()).await?);
    let len = within(input.read_u32()).await?;
    let mut input = input.take(len.into());
    let mut payload = Vec::new();
    // Memory grows with the bytes that arrive. A length alone allocates nothing. The limit is for each part: a
    // large record may take longer on a slow network.
    while within(input.read_buf(&mut payload)).await? > 0 {}
    match payload.len() == len as usize {
        true => Ok(Sent { lsn, payload }),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub async fn write_lsn(output: &mut (impl AsyncWrite + Unpin), lsn: Lsn) -> io::Result<()> {
    output.write_u64(lsn.get()).await
}

pub async fn read_lsn(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Lsn> {
    input.read_u64().await.map(Lsn::new)
}

pub async fn flush(output: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    output.flush().await
}

const MAGIC: &[u8; 8] = b"tidesby2";
