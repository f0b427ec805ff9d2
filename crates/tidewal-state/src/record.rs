//! The records of a state machine (`docs/state.md`, "Records"): the bytes of a command, followed by
//! the kind of the record.

use bytes::{Buf, Bytes};
use tidewal::Lsn;
use tidewal::typed::{BoxError, Codec, Logged};

use crate::error::{Error, Result};
use crate::mutants::{Mutant, is_active};
use crate::sessions::{Limits, RequestId, SessionId};

/// The operation that a record describes.
#[derive(Debug)]
pub(crate) enum Operation<C> {
    Command(C),
    Request(RequestId, C),
    Batch(Vec<C>),
    /// Opens a session, and sets the limits from now on.
    Session(Limits),
}

/// The record of a command.
pub(crate) fn command<C: Logged>(command: &C) -> Result<Bytes> {
    let mut buffer = encoded(command)?;
    buffer.push(COMMAND);
    Ok(buffer.into())
}

pub(crate) fn request<C: Logged>(id: RequestId, command: &C) -> Result<Bytes> {
    let mut buffer = encoded(command)?;
    buffer.extend(id.session.get().to_le_bytes());
    buffer.extend(id.sequence.to_le_bytes());
    buffer.push(REQUEST);
    Ok(buffer.into())
}

/// One record for several commands, so all or none of them are in the log.
pub(crate) fn batch<C: Logged>(commands: &[C]) -> Result<Bytes> {
    let mut buffer = Vec::new();
    for command in commands {
        let bytes = encoded(command)?;
        let len = u32::try_from(bytes.len()).map_err(|error| encode_error(error.into()))?;
        buffer.extend(len.to_le_bytes());
        buffer.extend(bytes);
    }
    buffer.push(BATCH);
    Ok(buffer.into())
}

pub(crate) fn session(limits: Limits) -> Bytes {
    let mut buffer = Vec::with_capacity(25);
    for number in [limits.sessions, limits.window, limits.output_bytes] {
        buffer.extend(number.to_le_bytes());
    }
    buffer.push(SESSION);
    buffer.into()
}

/// Decodes a record.
pub(crate) fn decode<C: Logged>(lsn: Lsn, record: Bytes) -> Result<Operation<C>> {
    try_decode(record).map_err(|error| Error::Undecodable {
        lsn,
        source: error.into(),
    })
}

fn try_decode<C: Logged>(mut record: Bytes) -> Result<Operation<C>, BoxError> {
    let kind = record.last().copied().ok_or("the record is empty")?;
    record.truncate(record.len() - 1);
    match kind {
        COMMAND => Ok(Operation::Command(C::Codec::decode(record)?)),
        REQUEST => {
            let at = record.len().checked_sub(16).ok_or(SHORT)?;
            let mut id = record.split_off(at);
            let id = RequestId {
                session: SessionId::new(id.get_u64_le()),
                sequence: id.get_u64_le(),
            };
            Ok(Operation::Request(id, C::Codec::decode(record)?))
        }
        BATCH => decode_batch(record).map(Operation::Batch),
        SESSION if record.len() == 24 => Ok(Operation::Session(Limits {
            sessions: record.get_u64_le(),
            window: record.get_u64_le(),
            output_bytes: record.get_u64_le(),
        })),
        _ => Err(format!("kind {kind} is not known").into()),
    }
}

fn decode_batch<C: Logged>(mut record: Bytes) -> Result<Vec<C>, BoxError> {
    let mut commands = Vec::new();
    while !record.is_empty() {
        let len = record.try_get_u32_le().map_err(|_| SHORT)?;
        let len = usize::try_from(len)?;
        if len > record.len() {
            return Err(SHORT.into());
        }
        commands.push(C::Codec::decode(record.split_to(len))?);
        if is_active(Mutant::BatchCutShort) {
            break;
        }
    }
    Ok(commands)
}

/// The codec's bytes, in a buffer that was empty before, as codecs may expect.
fn encoded<C: Logged>(command: &C) -> Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(64);
    let encoded = C::Codec::encode(command, &mut buffer).and_then(|()| check::<C>(&buffer));
    match encoded {
        Ok(()) => Ok(buffer),
        Err(error) => Err(encode_error(error)),
    }
}

/// In a build with debug assertions, checks that the encoded command can be decoded.
fn check<C: Logged>(buffer: &[u8]) -> Result<(), BoxError> {
    if cfg!(debug_assertions) {
        C::Codec::decode(Bytes::copy_from_slice(buffer)).map(drop)?;
    }
    Ok(())
}

fn encode_error(source: BoxError) -> Error {
    Error::Unencodable {
        source: source.into(),
    }
}

const SHORT: &str = "the record is shorter than it says";

const COMMAND: u8 = 0;
const REQUEST: u8 = 1;
const BATCH: u8 = 2;
const SESSION: u8 = 3;
