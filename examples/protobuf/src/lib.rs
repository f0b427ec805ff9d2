//! A codec for Protocol Buffers, for messages of the `prost` crate: copy it into your service.
//!
//! The codec is not part of the log's API, because the log's versions would then have to follow those of `prost`.
//!
//! The rules of Protocol Buffers say how a message may change:
//!
//! - A new variant of a `oneof` gets a new tag. Old code that decodes it sees `None`, **without an error**. A
//!   service should treat this as an unknown record, and stop.
//! - A new field gets a new tag. In old records it has its default value.
//! - Never reuse a tag.
//! - Unknown fields are dropped silently.
//! - An empty record is a message in which every field has its default value.
//!
//! # Examples
//!
//! ```
//! use protobuf_codec::Protobuf;
//! use tidewal::typed::Logged;
//!
//! #[derive(Clone, PartialEq, prost::Message)]
//! struct Command {
//!     #[prost(oneof = "Kind", tags = "1, 2")]
//!     kind: Option<Kind>,
//! }
//!
//! #[derive(Clone, PartialEq, prost::Oneof)]
//! enum Kind {
//!     #[prost(string, tag = "1")]
//!     Put(String),
//!     #[prost(string, tag = "2")]
//!     Delete(String),
//! }
//!
//! impl Logged for Command {
//!     type Codec = Protobuf;
//! }
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! let wal = tidewal::Wal::open(dir.path()).await?.typed();
//! wal.append(&Command { kind: Some(Kind::Put("answer=42".into())) }).await?;
//! # wal.close().await?;
//!
//! let mut recovery = tidewal::Wal::recover(dir.path()).await?.typed::<Command>();
//! while let Some((lsn, command)) = recovery.try_next().await? {
//!     let Some(kind) = command.kind else {
//!         panic!("record {lsn} is of a kind that this version does not know");
//!     };
//!     # assert_eq!(kind, Kind::Put("answer=42".into()));
//! }
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//! ```

use prost::Message;
use prost::bytes::Bytes;
use tidewal::typed::{BoxError, Codec};

/// Protocol Buffers, for messages of the `prost` crate.
#[derive(Clone, Copy, Debug)]
pub struct Protobuf;

impl<T: Message + Default> Codec<T> for Protobuf {
    fn encode(value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(value.encode(buffer)?)
    }

    fn decode(record: Bytes) -> Result<T, BoxError> {
        Ok(T::decode(record)?)
    }
}
