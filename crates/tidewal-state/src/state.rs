//! The traits that a service implements for its state.

use std::io::{Read, Write};

use tidewal::Lsn;
use tidewal::typed::{BoxError, Logged};

/// The state of a service, and how commands change it.
///
/// The initial state is its [`Default`]. The same commands must lead to the same state, on every
/// machine and in every later version of the code: see [`apply`](Self::apply).
///
/// # Examples
///
/// See [the crate](crate).
pub trait State: Default + Send + Sync + 'static {
    /// A change of the state: one type for everything that happens to a service, usually an enum.
    /// Its codec determines the bytes of a record, and how the type may change: see
    /// [`tidewal::typed`].
    type Command: Logged + Send + 'static;

    /// The answer to a command. A refusal by the state, such as `Err(NotEnoughMoney)`, is an output
    /// too: it is decided when the command is applied, in the order of the log, and never before it
    /// is appended.
    type Output: Send + 'static;

    /// How snapshots are written and read. With the feature `json`, this can be
    /// [`Json`](tidewal::typed::Json).
    type Snapshot: SnapshotFormat<Self>;

    /// The version of the state's type in new snapshots. Raise it if [`SnapshotFormat::read`] must
    /// distinguish the old form from the new one. A snapshot of a later version is refused.
    const VERSION: u32 = 1;

    /// The length of a snapshot of this state in bytes, at most, if it can be told without work.
    ///
    /// Space is reserved for the next snapshot, so it fits on a disk that the log has filled. Without a hint,
    /// the state is assumed to grow by the bytes of each record. Give one if a command can make the state grow by
    /// more than that, or if the state grows by much less and the space matters (`docs/state.md`, "A full
    /// disk"). It is called after each group of commands, so it should only read a number.
    fn snapshot_len_hint(&self) -> Option<u64> {
        None
    }

    /// Applies a command, and returns its output.
    ///
    /// It must depend only on the state, the LSN and the command: no clock, no randomness, no
    /// iteration order of a `HashMap`, no setting. Put such values into the command. A start
    /// applies the same commands again, and must get the outputs that were returned the first time.
    /// The commands of one batch have the same LSN.
    ///
    /// It runs on a worker thread of the runtime while queries wait, so it should be short and must
    /// not block. A panic ends this state machine but not the log: every later call returns
    /// [`Error::Panicked`](crate::Error::Panicked), and so does the next start, until the code is
    /// fixed.
    fn apply(&mut self, lsn: Lsn, command: Self::Command) -> Self::Output;
}

/// How a state is written to a snapshot and read back.
///
/// A snapshot is taken in two steps, so commands continue in the meantime. [`freeze`](Self::freeze)
/// takes a view of the state at one LSN while no command is applied, so it should be cheap. `write`
/// then serializes that view on a thread of its own.
///
/// The cost of `freeze` depends on the state. A clone stops commands for as long as cloning takes,
/// and needs the memory of the state once more. An `Arc` that `apply` changes with
/// [`Arc::make_mut`] costs nothing to freeze, and is cloned by the first command after that. In a
/// state of a thousand such parts, only the parts that change are cloned. Persistent maps cost as
/// much as an `Arc`.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot write snapshots of `{S}`",
    note = "for `Json`, turn on the feature `json` of tidewal-state, not only of tidewal. The state must be \
            `Clone`, `Serialize`, `DeserializeOwned` and `Send`"
)]
pub trait SnapshotFormat<S>: 'static {
    /// The state at one LSN.
    type Frozen: Send + 'static;

    /// Takes a view of the state that later commands do not change.
    fn freeze(state: &S) -> Self::Frozen;

    /// Writes the view. The output is buffered.
    ///
    /// # Errors
    ///
    /// The errors of `output`, and any other reason why the state cannot be written. There is no
    /// new snapshot then.
    fn write(frozen: Self::Frozen, output: &mut dyn Write) -> Result<(), BoxError>;

    /// Reads a state. `version` is the [`State::VERSION`] of the code that wrote it, and never
    /// higher than that of this code. This is the place for a migration.
    ///
    /// # Errors
    ///
    /// The errors of `input`, and any other reason why the state cannot be read. The state machine
    /// does not open then.
    fn read(version: u32, input: &mut dyn Read) -> Result<S, BoxError>;
}

/// Snapshots as JSON. Freezing is a clone.
///
/// The version is ignored: fields can be added and removed as `#[serde(default)]` allows. For another
/// change, write a format of your own, which reads the older versions with `Json` and converts them
/// (`examples/bank.rs`).
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
