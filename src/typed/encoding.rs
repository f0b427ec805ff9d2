//! From values to payloads, and from records to values.

use std::borrow::Borrow;
use std::cell::Cell;

use bytes::Bytes;

use crate::error::{CodecError, Error, Result};
use crate::lsn::Lsn;
use crate::record::Record;
use crate::typed::{BoxError, Codec, Logged};

/// Encodes values, all or nothing.
pub(super) fn encode_all<T: Logged, I>(values: I) -> Result<Vec<Bytes>>
where
    I: IntoIterator,
    I::Item: Borrow<T>,
{
    values
        .into_iter()
        .map(|value| encode(value.borrow()))
        .collect()
}

/// Encodes a value into a payload of exactly its size.
///
/// The codec writes to a buffer that the thread keeps. So a value costs one allocation, instead of
/// one for each time that a buffer grows.
pub(super) fn encode<T: Logged>(value: &T) -> Result<Bytes> {
    let mut buffer = BUFFER.take();
    buffer.clear();
    let encoded = T::Codec::encode(value, &mut buffer);
    let payload = encoded.map(|()| Bytes::copy_from_slice(&buffer));
    keep(buffer);
    payload
        .and_then(check::<T>)
        .map_err(|error| Error::Encode(CodecError::new(error)))
}

/// Decodes a record.
pub(super) fn decode<T: Logged>(record: Record) -> Result<(Lsn, T)> {
    let Record { lsn, payload } = record;
    match T::Codec::decode(payload) {
        Ok(value) => Ok((lsn, value)),
        Err(error) => Err(Error::Undecodable {
            lsn,
            source: CodecError::new(error),
        }),
    }
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn keep(mut buffer: Vec<u8>) {
    if buffer.capacity() > BUFFER_LIMIT {
        buffer = Vec::new();
    }
    BUFFER.set(buffer);
}

/// In a build with debug assertions, checks that the encoded value can be decoded.
fn check<T: Logged>(payload: Bytes) -> Result<Bytes, BoxError> {
    if cfg!(debug_assertions) {
        T::Codec::decode(payload.clone()).map_err(NotReadBack)?;
    }
    Ok(payload)
}

/// The error for a codec that cannot decode what it has encoded.
#[derive(Debug, thiserror::Error)]
#[error("the codec cannot decode the bytes that it has encoded")]
struct NotReadBack(#[source] BoxError);

/// A larger buffer is not kept.
const BUFFER_LIMIT: usize = 64 * 1024;
