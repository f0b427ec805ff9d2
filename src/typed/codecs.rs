//! The codecs that come with the crate, each behind its feature.

#[cfg(any(feature = "json", feature = "postcard"))]
use bytes::Bytes;
#[cfg(any(feature = "json", feature = "postcard"))]
use serde::{Serialize, de::DeserializeOwned};

#[cfg(any(feature = "json", feature = "postcard"))]
use crate::typed::{BoxError, Codec};

/// JSON, for every type that serde supports. Needs the feature `json`.
///
/// How a type may change: see [the module](crate::typed#changing-the-type).
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug)]
pub struct Json;

#[cfg(feature = "json")]
impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(buffer, value)?)
    }

    fn decode(record: Bytes) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(&record)?)
    }
}

/// The compact binary format of the `postcard` crate, for types that serde supports. Needs the feature
/// `postcard`.
///
/// How a type may change: see [the module](crate::typed#changing-the-type).
#[cfg(feature = "postcard")]
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

#[cfg(feature = "postcard")]
impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn encode(value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        *buffer = postcard::to_extend(value, std::mem::take(buffer))?;
        Ok(())
    }

    fn decode(record: Bytes) -> Result<T, BoxError> {
        match postcard::take_from_bytes(&record)? {
            (value, []) => Ok(value),
            (_, rest) => Err(format!("{} bytes are left over after the value", rest.len()).into()),
        }
    }
}
