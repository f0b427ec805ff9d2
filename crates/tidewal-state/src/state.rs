//! What a service says of its state.

use std::io::{Read, Write};

use tidewal::Lsn;
use tidewal::typed::{BoxError, Logged};

/// The state of a service: what its commands make of it, one after the other.
///
/// The state begins as its [`Default`]. It is the same after the same commands, on every machine and in
/// every later version of the code: see [`apply`](Self::apply).
///
/// # Examples
///
/// See [the crate](crate).
pub trait State: Default + Send + Sync + 'static {
    /// What changes the state: one type for everything that happens to a service, usually an enum. Its
    /// codec decides what a record holds, and how the type may change: see [`tidewal::typed`].
    type Command: Logged + Send + 'static;

    /// What a command answers. A refusal by the state is one too, such as `Err(NotEnoughMoney)`: it is
    /// decided in the order of the log, when the command is applied, and never before it is appended.
    type Output: Send + 'static;

    /// How snapshots are written and read. With the feature `json` it may be
    /// [`Json`](tidewal::typed::Json).
    type Snapshot: SnapshotFormat<Self>;

    /// The version of the state's type that snapshots are written in. Raise it when
    /// [`SnapshotFormat::read`] has to tell the old form from the new one. A snapshot of a later version
    /// is refused.
    const VERSION: u32 = 1;

    /// Applies a command, and returns its output.
    ///
    /// It must depend on nothing but the state, the LSN and the command: no clock, no randomness, no order
    /// of a `HashMap`, no setting. Put such things into the command. A start applies the same commands
    /// again, and whatever comes out then has to be what was answered the first time. The commands of one
    /// batch have the same LSN.
    ///
    /// It runs on a worker of the runtime and keeps queries waiting, so it should be short and must not
    /// block. A panic ends this state machine and not the log: every later call returns
    /// [`Error::Panicked`](crate::Error::Panicked), and so does the next start, until the code is mended.
    fn apply(&mut self, lsn: Lsn, command: Self::Command) -> Self::Output;
}

/// How a state becomes a snapshot and a state again.
///
/// A snapshot is taken in two steps, so that commands go on in the meantime. [`freeze`](Self::freeze) takes a
/// view of the state at one place of the log while nothing is applied, so it should be cheap. `write` then
/// makes bytes of that view on a thread of its own.
///
/// What `freeze` costs is up to the state. A clone stops commands for as long as cloning takes and needs
/// the memory of the state once more. An `Arc` that `apply` changes with [`Arc::make_mut`] costs nothing to
/// freeze and is cloned by the first command after that; a state of a thousand such parts is cloned part by
/// part, and only where it changes. Persistent maps cost as much as an `Arc`.
///
/// [`Arc::make_mut`]: std::sync::Arc::make_mut
///
/// # Examples
///
/// A counter, by hand:
///
/// ```
/// use std::io::{Read, Write};
/// use tidewal::typed::BoxError;
/// use tidewal_state::SnapshotFormat;
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// struct Bytes;
///
/// impl SnapshotFormat<Counter> for Bytes {
///     type Frozen = u64;
///
///     fn freeze(state: &Counter) -> u64 {
///         state.0
///     }
///
///     fn write(count: u64, output: &mut dyn Write) -> Result<(), BoxError> {
///         Ok(output.write_all(&count.to_le_bytes())?)
///     }
///
///     fn read(version: u32, input: &mut dyn Read) -> Result<Counter, BoxError> {
///         match version {
///             // The first version counted to 2^32.
///             1 => {
///                 let mut bytes = [0; 4];
///                 input.read_exact(&mut bytes)?;
///                 Ok(Counter(u32::from_le_bytes(bytes).into()))
///             }
///             _ => {
///                 let mut bytes = [0; 8];
///                 input.read_exact(&mut bytes)?;
///                 Ok(Counter(u64::from_le_bytes(bytes)))
///             }
///         }
///     }
/// }
/// # let counter = Bytes::read(1, &mut [7, 0, 0, 0].as_slice()).unwrap();
/// # assert_eq!(counter.0, 7);
/// ```
pub trait SnapshotFormat<S>: 'static {
    /// The state as it is at one place of the log.
    type Frozen: Send + 'static;

    /// Takes a view of the state that later commands do not change.
    fn freeze(state: &S) -> Self::Frozen;

    /// Writes the view, piece by piece. The output is buffered.
    ///
    /// # Errors
    ///
    /// The errors of `output`, and whatever else keeps the state from being written. There is no new snapshot
    /// then.
    fn write(frozen: Self::Frozen, output: &mut dyn Write) -> Result<(), BoxError>;

    /// Reads a state. `version` is the [`State::VERSION`] of the code that wrote it, and never higher than
    /// that of this code: the place for a migration.
    ///
    /// # Errors
    ///
    /// The errors of `input`, and whatever else keeps the state from being read. The state machine does not
    /// open then.
    fn read(version: u32, input: &mut dyn Read) -> Result<S, BoxError>;
}

/// Snapshots as JSON. Freezing is a clone.
///
/// The version is not looked at: fields may come and go as `#[serde(default)]` allows.
#[cfg(feature = "json")]
impl<S> SnapshotFormat<S> for tidewal::typed::Json
where
    S: Clone + serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    type Frozen = S;

    fn freeze(state: &S) -> S {
        state.clone()
    }

    fn write(frozen: S, output: &mut dyn Write) -> Result<(), BoxError> {
        let mut output = std::io::BufWriter::new(output);
        serde_json::to_writer(&mut output, &frozen)?;
        Ok(output.flush()?)
    }

    fn read(_: u32, input: &mut dyn Read) -> Result<S, BoxError> {
        Ok(serde_json::from_reader(std::io::BufReader::new(input))?)
    }
}
