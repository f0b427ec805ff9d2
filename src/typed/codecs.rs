//! The codecs that come with the crate, each behind its feature.

#[cfg(any(feature = "json", feature = "postcard", feature = "prost"))]
use bytes::Bytes;
#[cfg(any(feature = "json", feature = "postcard"))]
use serde::{Serialize, de::DeserializeOwned};

#[cfg(any(feature = "json", feature = "postcard", feature = "prost"))]
use crate::typed::{BoxError, Codec};

/// JSON, for every type that serde knows. Needs the feature `json`.
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

/// The compact binary format of the `postcard` crate, for types that serde knows. Needs the feature
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

/// Protocol Buffers, for messages of the `prost` crate. Needs the feature `prost`.
///
/// How a message may change: see [the module](crate::typed#changing-the-type).
///
/// # Examples
///
/// ```
/// use tidewal::typed::{Logged, Prost};
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Command {
///     #[prost(oneof = "Kind", tags = "1, 2")]
///     kind: Option<Kind>,
/// }
///
/// #[derive(Clone, PartialEq, prost::Oneof)]
/// enum Kind {
///     #[prost(string, tag = "1")]
///     Put(String),
///     #[prost(string, tag = "2")]
///     Delete(String),
/// }
///
/// impl Logged for Command {
///     type Codec = Prost;
/// }
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let wal = tidewal::Wal::open(dir.path()).await?.typed();
/// wal.append(&Command { kind: Some(Kind::Put("answer=42".into())) }).await?;
/// # wal.close().await?;
///
/// let mut recovery = tidewal::Wal::recover(dir.path()).await?.typed::<Command>();
/// while let Some((lsn, command)) = recovery.try_next().await? {
///     let Some(kind) = command.kind else {
///         panic!("record {lsn} is of a kind that this version does not know");
///     };
///     # assert_eq!(kind, Kind::Put("answer=42".into()));
/// }
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
#[cfg(feature = "prost")]
#[derive(Clone, Copy, Debug)]
pub struct Prost;

#[cfg(feature = "prost")]
impl<T: prost::Message + Default> Codec<T> for Prost {
    fn encode(value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(value.encode(buffer)?)
    }

    fn decode(record: Bytes) -> Result<T, BoxError> {
        Ok(T::decode(record)?)
    }
}
