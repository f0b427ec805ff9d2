//! Errors, by what the caller should do next.

use std::sync::Arc;

use tidewal::Lsn;
use tidewal::snapshot::{SnapshotError, SnapshotFile, SnapshotState};

/// The result of an operation on a state machine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, told apart by what the caller should do next.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log ends before a snapshot of it, which is damaged: it has lost records that were durable.
    ///
    /// Next: restore the directory from a backup. If the file is no snapshot of this log, move it away.
    #[error("a damaged snapshot covers record {snapshot}, and the log ends with {end}")]
    BehindSnapshot {
        /// The last record that the snapshot covers, by its name.
        snapshot: Lsn,
        /// The last record of the log.
        end: Lsn,
    },

    /// The log has requests with a session, and the state machine was opened without
    /// [`exactly_once`](crate::Options::exactly_once).
    ///
    /// Next: open it with that option. The output of a request is kept for its retries, so it has to be
    /// known how it is encoded.
    #[error("record {lsn} is a request of a session; open the state machine with exactly_once")]
    ExactlyOnceOff {
        /// The request.
        lsn: Lsn,
    },

    /// The task that applies commands ended before it could answer, because its runtime has: the outcome
    /// is unknown.
    ///
    /// Next: open the state machine again, and see there what the command has done.
    #[error("the runtime of the state machine has ended, the outcome is unknown; open it again")]
    Interrupted,

    /// The log refused or failed. [`Error::is_outcome_unknown`] says whether the command may be in it.
    ///
    /// Next: that of the log's error. After [`StorageFull`](tidewal::Error::StorageFull) a snapshot is
    /// tried by itself, and commands are taken again once it has freed some space.
    #[error(transparent)]
    Log(#[from] tidewal::Error),

    /// The log begins after record 1 and no sound snapshot reaches its beginning.
    ///
    /// Next: restore the directory from a backup. `skipped` are the snapshots that were not used, and why.
    #[error(
        "the log begins with record {oldest} and no snapshot reaches so far{}",
        list(skipped)
    )]
    NoSnapshot {
        /// The oldest record of the log.
        oldest: Lsn,
        /// Files that are damaged, of another log, or of a later version.
        skipped: Arc<[SnapshotFile]>,
    },

    /// A state's output could not be encoded or decoded, which a retry needs. The state machine takes
    /// nothing more if it could not be encoded.
    ///
    /// Next: mend the codec of the output.
    #[error("the output of record {lsn} cannot be kept for a retry")]
    Output {
        /// The request.
        lsn: Lsn,
        /// What the codec says.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// [`State::apply`](crate::State::apply) panicked. The command is in the log; the state is not to be
    /// used any more. The log is not harmed.
    ///
    /// Next: mend `apply`, and open the state machine again: the command is then applied by the new code.
    #[error("applying record {lsn} panicked: {message}; mend the code and open it again")]
    Panicked {
        /// The command.
        lsn: Lsn,
        /// What the panic says.
        message: Arc<str>,
    },

    /// The request is older than the outputs that its session keeps: it cannot be told whether it was
    /// applied, and it was not applied now.
    ///
    /// Next: ask the state itself, with a query. Raise `window` to keep more outputs.
    #[error("request {sequence} is too old for its session to know its output")]
    RequestForgotten {
        /// The request's number in its session.
        sequence: u64,
    },

    /// The session is not known: it was never opened, or is gone because others were used since. The
    /// request was not applied now; it cannot be told whether it was before.
    ///
    /// Next: ask the state itself with a query, and open a new session.
    #[error("session {session} is not known, or not any more; open a new one")]
    SessionExpired {
        /// The session.
        session: u64,
    },

    /// A snapshot could not be written, read, listed or removed. The log and the state are not harmed.
    ///
    /// Next: that of the snapshot's error.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),

    /// A sound snapshot was written by a later version of the state's type.
    ///
    /// Next: use the version of the service that wrote it.
    #[error("the snapshot of record {lsn} is of version {version}, this code knows {known}")]
    StateVersion {
        /// The snapshot.
        lsn: Lsn,
        /// The version that it was written in.
        version: u32,
        /// The latest one that this code can read.
        known: u32,
    },

    /// A record is whole and cannot be decoded. Nothing on disk was changed.
    ///
    /// Next: use a version of the service that knows this command, or teach its codec to decode it.
    #[error("record {lsn} cannot be decoded; use a version of the service that knows it")]
    Undecodable {
        /// The record.
        lsn: Lsn,
        /// What the codec says.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// A command could not be encoded. It is certainly not appended, and nothing else that was given to
    /// the same call is.
    ///
    /// Next: see the source, which is the codec's own error.
    #[error("cannot encode the command, nothing was appended")]
    Unencodable {
        /// What the codec says.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the command may have been executed, or may still be after the next start, although the
    /// caller got an error.
    ///
    /// With [`execute_once`](crate::StateMachine::execute_once) it can be sent again then.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Interrupted | Self::Output { .. } | Self::Panicked { .. } => true,
            Self::Log(error) => error.is_outcome_unknown(),
            _ => false,
        }
    }
}

/// The snapshots that were not used, for a message.
fn list(skipped: &[SnapshotFile]) -> String {
    use std::fmt::Write;

    skipped.iter().fold(String::new(), |mut text, file| {
        let what = match file.state {
            SnapshotState::Damaged => "is damaged",
            SnapshotState::Foreign => "is of another log",
            SnapshotState::Unreadable => "cannot be read",
            SnapshotState::Unsupported { .. } => "is of a later version",
            _ => "was not used",
        };
        // Writing to a string does not fail.
        let _ = write!(text, "; {} {what}", file.path.display());
        text
    })
}
