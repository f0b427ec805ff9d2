//! The records of a raft log, as bytes: `docs/openraft.md`, "Records".

use bytes::Bytes;
use openraft::{LogId, RaftTypeConfig, Vote};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a record does to the state.
pub(crate) enum Op<C: RaftTypeConfig> {
    /// An entry follows the last one. With it the length of its encoding in bytes.
    Entry(C::Entry, usize),
    Vote(Vote<C::NodeId>),
    Committed(Option<LogId<C::NodeId>>),
    /// The entries from this index on are gone.
    Truncate(u64),
    Checkpoint(Checkpoint<C>),
}

/// Everything but the entries, so that earlier records can be given up.
pub(crate) struct Checkpoint<C: RaftTypeConfig> {
    /// The record with this number, and those after it, hold the entries that are not purged. That of
    /// the checkpoint itself if there are none.
    pub(crate) needs: u64,
    pub(crate) vote: Option<Vote<C::NodeId>>,
    pub(crate) committed: Option<LogId<C::NodeId>>,
    pub(crate) purged: Option<LogId<C::NodeId>>,
}

/// A record that holds an entry, and the length of the entry's encoding in bytes.
pub(crate) fn entry(number: u64, entry: &impl Serialize) -> Result<(Bytes, usize), EncodeError> {
    let record = start(ENTRY, number).with(entry)?.finish();
    let len = record.len() - HEADER_LEN;
    Ok((record, len))
}

pub(crate) fn vote(number: u64, vote: &impl Serialize) -> Result<Bytes, EncodeError> {
    Ok(start(VOTE, number).with(vote)?.finish())
}

pub(crate) fn committed(number: u64, committed: &impl Serialize) -> Result<Bytes, EncodeError> {
    Ok(start(COMMITTED, number).with(committed)?.finish())
}

pub(crate) fn truncate(number: u64, since: u64) -> Bytes {
    start(TRUNCATE, number).with_number(since).finish()
}

pub(crate) fn checkpoint<C: RaftTypeConfig>(
    number: u64,
    checkpoint: &Checkpoint<C>,
) -> Result<Bytes, EncodeError> {
    let Checkpoint {
        needs,
        vote,
        committed,
        purged,
    } = checkpoint;
    let record = start(CHECKPOINT, number)
        .with_number(*needs)
        .with(&(vote, committed, purged))?;
    Ok(record.finish())
}

/// Why something could not be encoded.
pub(crate) type EncodeError = rmp_serde::encode::Error;

/// The record's number, and what it does. An error is a sentence about the record.
pub(crate) fn decode<C: RaftTypeConfig>(payload: &[u8]) -> Result<(u64, Op<C>), String> {
    let Some((&[version, kind], rest)) = payload.split_first_chunk::<2>() else {
        return Err("it is too short".into());
    };
    if version != VERSION {
        return Err(format!("it has version {version}, not {VERSION}"));
    }
    let (number, body) = take_number(rest)?;
    let op = match kind {
        ENTRY => Op::Entry(value(body)?, body.len()),
        VOTE => Op::Vote(value(body)?),
        COMMITTED => Op::Committed(value(body)?),
        TRUNCATE => Op::Truncate(take_number(body)?.0),
        CHECKPOINT => Op::Checkpoint(decode_checkpoint(body)?),
        other => return Err(format!("it is of kind {other}, which is none")),
    };
    Ok((number, op))
}

fn decode_checkpoint<C: RaftTypeConfig>(body: &[u8]) -> Result<Checkpoint<C>, String> {
    let (needs, rest) = take_number(body)?;
    let (vote, committed, purged) = value(rest)?;
    Ok(Checkpoint {
        needs,
        vote,
        committed,
        purged,
    })
}

/// A record under construction.
struct Encoder(Vec<u8>);

impl Encoder {
    fn with(mut self, value: &impl Serialize) -> Result<Self, EncodeError> {
        rmp_serde::encode::write_named(&mut self.0, value)?;
        Ok(self)
    }

    fn with_number(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn finish(self) -> Bytes {
        self.0.into()
    }
}

fn start(kind: u8, number: u64) -> Encoder {
    Encoder(vec![VERSION, kind]).with_number(number)
}

fn take_number(bytes: &[u8]) -> Result<(u64, &[u8]), String> {
    let (number, rest) = bytes.split_first_chunk::<8>().ok_or("it is cut off")?;
    Ok((u64::from_le_bytes(*number), rest))
}

fn value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

const VERSION: u8 = 1;

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const TRUNCATE: u8 = 4;
const CHECKPOINT: u8 = 5;

/// Version, kind and number.
const HEADER_LEN: usize = 10;

#[cfg(test)]
mod tests;
