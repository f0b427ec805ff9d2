//! The records of a raft log, as bytes: `docs/openraft.md`, "Records".

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::types::Types;

/// What a record does to the state.
pub(crate) enum Op<T: Types> {
    /// Adds an entry after the last one. With the length of its encoding in bytes.
    Entry(T::Entry, usize),
    Vote(T::Vote),
    Committed(Option<T::LogId>),
    /// Removes the entries from this index on.
    Truncate(u64),
    Checkpoint(Checkpoint<T>),
    /// Does nothing: it keeps two records on different pages of the disk.
    Padding,
    /// An entry that is in memory already, so its older record can be truncated.
    Copy(T::Entry, usize),
    /// Removes the group with all its records.
    Removed,
}

/// Everything except the entries, so earlier records can be truncated.
pub(crate) struct Checkpoint<T: Types> {
    /// The record with this number and those after it hold the entries that are not purged. If
    /// there are none, the number of the checkpoint itself.
    pub(crate) needs: u64,
    pub(crate) vote: Option<T::Vote>,
    pub(crate) committed: Option<T::LogId>,
    pub(crate) purged: Option<T::LogId>,
}

/// The owner of a record, and its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) owner: Owner,
    pub(crate) number: u64,
}

/// The number of a log's first record.
pub(crate) const FIRST_NUMBER: u64 = 1;

/// Whose records they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// The only raft log in the `Wal`.
    Single,
    /// One of many groups.
    Group(u64),
}

impl Owner {
    /// The id of the group. The only log in a `Wal` also has one.
    pub(crate) fn id(self) -> u64 {
        match self {
            Self::Single => 0,
            Self::Group(group) => group,
        }
    }
}

/// A record with an entry, and the length of the entry's encoding in bytes.
pub(crate) fn entry(header: Header, entry: &impl Serialize) -> Result<(Bytes, usize), EncodeError> {
    let (encoder, before) = start(ENTRY, header);
    let record = encoder.with(entry)?.finish();
    let len = record.len() - before;
    Ok((record, len))
}

/// A record that replaces an entry's older one.
pub(crate) fn copy(header: Header, entry: &impl Serialize) -> Result<Bytes, EncodeError> {
    Ok(start(COPY, header).0.with(entry)?.finish())
}

pub(crate) fn vote(header: Header, vote: &impl Serialize) -> Result<Bytes, EncodeError> {
    Ok(start(VOTE, header).0.with(vote)?.finish())
}

pub(crate) fn committed(header: Header, committed: &impl Serialize) -> Result<Bytes, EncodeError> {
    Ok(start(COMMITTED, header).0.with(committed)?.finish())
}

pub(crate) fn truncate(header: Header, since: u64) -> Bytes {
    start(TRUNCATE, header).0.with_number(since).finish()
}

pub(crate) fn checkpoint<T: Types>(
    header: Header,
    checkpoint: &Checkpoint<T>,
) -> Result<Bytes, EncodeError> {
    let Checkpoint {
        needs,
        vote,
        committed,
        purged,
    } = checkpoint;
    let (encoder, _) = start(CHECKPOINT, header);
    let record = encoder
        .with_number(*needs)
        .with(&(vote, committed, purged))?;
    Ok(record.finish())
}

pub(crate) fn padding(header: Header) -> Bytes {
    let (Encoder(mut bytes), before) = start(PADDING, header);
    bytes.resize(before + PADDING_LEN, 0);
    bytes.into()
}

pub(crate) fn removed(header: Header) -> Bytes {
    start(REMOVED, header).0.finish()
}

/// Why something could not be encoded.
pub(crate) type EncodeError = rmp_serde::encode::Error;

/// Decodes a record. An error is a sentence about the record.
pub(crate) fn decode<T: Types>(payload: &[u8]) -> Result<(Header, Op<T>), String> {
    let Some((&[version, kind], rest)) = payload.split_first_chunk::<2>() else {
        return Err("it is too short".into());
    };
    let (owner, rest) = take_owner(version, rest)?;
    let (number, body) = take_number(rest)?;
    let op = match kind {
        ENTRY => Op::Entry(value(body)?, body.len()),
        VOTE => Op::Vote(value(body)?),
        COMMITTED => Op::Committed(value(body)?),
        TRUNCATE => Op::Truncate(take_number(body)?.0),
        CHECKPOINT => Op::Checkpoint(decode_checkpoint(body)?),
        PADDING => Op::Padding,
        COPY => Op::Copy(value(body)?, body.len()),
        REMOVED => Op::Removed,
        other => return Err(format!("it is of kind {other}, which is none")),
    };
    Ok((Header { owner, number }, op))
}

fn take_owner(version: u8, rest: &[u8]) -> Result<(Owner, &[u8]), String> {
    match version {
        SINGLE => Ok((Owner::Single, rest)),
        GROUP => {
            let (group, rest) = take_number(rest)?;
            Ok((Owner::Group(group), rest))
        }
        other => Err(format!(
            "it has version {other}, and this is a log of version {SINGLE} or {GROUP}"
        )),
    }
}

fn decode_checkpoint<T: Types>(body: &[u8]) -> Result<Checkpoint<T>, String> {
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

/// A record that has its header, and the length of the header.
fn start(kind: u8, header: Header) -> (Encoder, usize) {
    let encoder = match header.owner {
        Owner::Single => Encoder(vec![SINGLE, kind]),
        Owner::Group(group) => Encoder(vec![GROUP, kind]).with_number(group),
    };
    let encoder = encoder.with_number(header.number);
    let len = encoder.0.len();
    (encoder, len)
}

fn take_number(bytes: &[u8]) -> Result<(u64, &[u8]), String> {
    let (number, rest) = bytes.split_first_chunk::<8>().ok_or("it is cut off")?;
    Ok((u64::from_le_bytes(*number), rest))
}

fn value<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

/// Versions of the layout.
const SINGLE: u8 = 1;
const GROUP: u8 = 2;

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const TRUNCATE: u8 = 4;
const CHECKPOINT: u8 = 5;
const PADDING: u8 = 6;
const COPY: u8 = 7;
const REMOVED: u8 = 8;

/// As long as the largest unit that a disk loses at once, so the records before and after it never
/// share such a unit.
const PADDING_LEN: usize = 4096;

#[cfg(all(test, feature = "v0_9", feature = "v0_10"))]
mod tests;
