//! A log of your own type: append values, replay values.
//!
//! Declare once how your type is encoded, with [`Logged`]. Then [`Recovery::typed`](crate::Recovery::typed) is
//! a stream of `(Lsn, T)`, and it, or [`Wal::typed`](crate::Wal::typed), gives a [`TypedWal`]. It is the same
//! log, with the same promise and the same files: the bytes of a record are what the codec makes of a value,
//! with nothing added.
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use serde::{Deserialize, Serialize};
//! use tidewal::Wal;
//! use tidewal::typed::{Json, Logged};
//!
//! #[derive(Deserialize, Serialize)]
//! enum Command {
//!     Put { key: String, value: u64 },
//!     Delete { key: String },
//! }
//!
//! impl Logged for Command {
//!     type Codec = Json;
//! }
//!
//! # let mut state = std::collections::BTreeMap::new();
//! # let mut apply = |command| match command {
//! #     Command::Put { key, value } => drop(state.insert(key, value)),
//! #     Command::Delete { key } => drop(state.remove(&key)),
//! # };
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path();
//! let mut recovery = Wal::recover(dir).await?.typed::<Command>();
//! while let Some((lsn, command)) = recovery.try_next().await? {
//!     println!("{lsn} is replayed");
//!     apply(command);
//! }
//! let wal = recovery.into_wal().await?; // a `TypedWal<Command>`
//!
//! let command = Command::Put { key: "answer".into(), value: 42 };
//! let lsn = wal.append(&command).await?; // on disk
//! apply(command); // in the order of the LSNs: where several tasks append, see `Wal::submit`
//! # assert_eq!(lsn, tidewal::Lsn::FIRST);
//! # wal.close().await?;
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//! # assert_eq!(state["answer"], 42);
//! # }
//! ```
//!
//! One log has one type: an enum of everything that happens to a service. The untyped log is always
//! available, with [`TypedWal::untyped`] and [`TypedRecovery::into_untyped`].
//!
//! # Errors
//!
//! A value that cannot be encoded is [`Error::Encode`](crate::Error::Encode): it is certainly not appended, and
//! the log keeps working. A record that cannot be decoded is [`Error::Undecodable`](crate::Error::Undecodable),
//! which names the LSN. The stream ends there, and [`TypedRecovery::into_wal`] refuses, because a service that
//! continues without a record has a different state from the one that it has acknowledged. Nothing on disk is
//! changed, so the version that wrote the record, or a corrected one, can still start.
//!
//! # Changing the type
//!
//! Records outlive the code that wrote them, until they are truncated. A new version must decode what the
//! previous one wrote. During a rolling upgrade or after a rollback, an old version may have to decode what the
//! new one wrote. This is not always possible, so deploy a version that reads the new form before one that
//! writes it.
//!
//! | A change | `Json` | `Postcard` |
//! |---|---|---|
//! | New variant | anywhere | at the end of the enum only |
//! | The old code meets it | `Undecodable` | `Undecodable` |
//! | New field | with `#[serde(default)]` | no: make a new variant |
//! | The old code meets it | ignores it | `Undecodable`, or a wrong value |
//! | Remove a field | yes | no: make a new variant |
//! | Remove a variant | once none is in the log | never: the later ones would move |
//! | Rename | with `#[serde(alias = "...")]` | yes, names are not written |
//! | Reorder | yes | no |
//! | Change a field's type | if the JSON of the old one fits the new one | no |
//!
//! "Once none is in the log" means after a snapshot and a
//! [`truncate_before`](TypedWal::truncate_before), which frees whole segments: read the log to be sure.
//!
//! - **`Json`** is for logs that people read and for types that still change. It is the larger and slower of
//!   the two. Bytes become an array of numbers. `NaN` and the infinities become `null` and *cannot be read
//!   back* as a float. Other floats come back exactly.
//! - **`Postcard`** is compact and fast, and encodes nothing but values in order. Old fields cannot
//!   be distinguished from new ones, so never change a variant that was written. Add one (`PutV2`)
//!   and map the old one to it. `#[serde(flatten)]`, `untagged`, internally tagged enums
//!   (`tag = "..."`) and `skip_serializing_if` do not work with it. Bytes that are left over after
//!   a value are an error.
//! - **Protocol Buffers** are made for this. `examples/protobuf` in the repository is a codec for
//!   the messages of `prost`, and says how they may change.
//!
//! To change the codec itself, or to prepare for that, write your own codec, which puts a version before each
//! value: see [`Codec`].

mod codecs;
mod encoding;
mod follower;
mod ordered;
mod recovery;
#[cfg(feature = "sink")]
mod sink;
mod wal;

use bytes::Bytes;

#[cfg(feature = "json")]
pub use crate::typed::codecs::Json;
#[cfg(feature = "postcard")]
pub use crate::typed::codecs::Postcard;
pub use crate::typed::follower::TypedFollower;
pub use crate::typed::ordered::TypedOrderedAppender;
pub use crate::typed::recovery::{TypedReader, TypedRecovery};
#[cfg(feature = "sink")]
pub use crate::typed::sink::TypedSink;
pub use crate::typed::wal::TypedWal;

/// A type whose values are the records of a log.
///
/// It names its codec, so a log and its readers cannot disagree about it, and no other type has to
/// carry the codec along. For a type of another crate, use a wrapper.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "postcard")] {
/// use tidewal::typed::{Logged, Postcard};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// enum Event {
///     Opened { account: u64 },
///     Moved { from: u64, to: u64, cents: i64 },
/// }
///
/// impl Logged for Event {
///     type Codec = Postcard;
/// }
/// # }
/// ```
pub trait Logged: Sized {
    /// The codec of the type.
    type Codec: Codec<Self>;
}

/// Turns a `T` into bytes and back.
///
/// The features `json` and `postcard` have codecs. Write one for any other format, or to be able to
/// change it later. What is decoded must equal what was encoded, in this version of the code and in
/// later ones. In a build with debug assertions, each value that is appended is decoded once, and
/// the append fails with [`Error::Encode`](crate::Error::Encode) if that fails.
///
/// # Examples
///
/// With a version in front of each record, the format can change:
///
/// ```
/// use bytes::Bytes;
/// use tidewal::typed::{BoxError, Codec, Logged};
///
/// struct Reading(f64);
///
/// struct Versioned;
///
/// impl Logged for Reading {
///     type Codec = Versioned;
/// }
///
/// impl Codec<Reading> for Versioned {
///     fn encode(value: &Reading, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
///         buffer.push(2);
///         buffer.extend(value.0.to_le_bytes());
///         Ok(())
///     }
///
///     fn decode(record: Bytes) -> Result<Reading, BoxError> {
///         match record.split_first() {
///             // The first version had less precision.
///             Some((1, rest)) => Ok(Reading(f32::from_le_bytes(rest.try_into()?).into())),
///             Some((2, rest)) => Ok(Reading(f64::from_le_bytes(rest.try_into()?))),
///             Some((version, _)) => Err(format!("version {version} is not known").into()),
///             None => Err("an empty record has no version".into()),
///         }
///     }
/// }
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let wal = tidewal::Wal::open(dir.path()).await?;
/// // The service has written this one long ago.
/// wal.append(Bytes::from([&[1], 1.5_f32.to_le_bytes().as_slice()].concat())).await?;
/// wal.clone().typed().append(&Reading(2.5)).await?;
/// # wal.close().await?;
///
/// let mut recovery = tidewal::Wal::recover(dir.path()).await?.typed::<Reading>();
/// while let Some((lsn, reading)) = recovery.try_next().await? {
///     assert_eq!(reading.0, lsn.get() as f64 + 0.5);
/// }
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// ```
pub trait Codec<T> {
    /// Writes the bytes of `value` to the end of `buffer`, which is empty.
    ///
    /// The buffer is reused for the next value, so encoding seldom allocates.
    ///
    /// # Errors
    ///
    /// Any reason why `value` cannot be encoded. It becomes the source of
    /// [`Error::Encode`](crate::Error::Encode), and nothing is appended.
    fn encode(value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Decodes a value from the bytes of a record.
    ///
    /// [`encode`](Self::encode) wrote these bytes, perhaps in another version of the code. A value
    /// that keeps slices of `record` keeps the buffer that the record was read into, which is
    /// usually 1 MiB: copy small values that live long.
    ///
    /// # Errors
    ///
    /// Any reason why the bytes cannot be decoded. It becomes the source of
    /// [`Error::Undecodable`](crate::Error::Undecodable), and the log cannot be opened as one of
    /// `T`.
    fn decode(record: Bytes) -> Result<T, BoxError>;
}

/// Any error. `?` converts every other error, and `.into()` converts a text.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
