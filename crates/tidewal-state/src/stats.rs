//! Figures about a state machine.

use std::sync::Arc;
use std::time::Duration;

use tidewal::Lsn;

use crate::error::Error;

/// What a state machine has done since it was opened. Returned by
/// [`StateMachine::stats`](crate::StateMachine::stats).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The last record that was applied.
    pub applied: Lsn,
    /// Records applied since the last snapshot was taken.
    pub records_since_snapshot: u64,
    /// The bytes of these records.
    pub bytes_since_snapshot: u64,
    /// The number of snapshots written.
    pub snapshots: u64,
    /// The last record that the newest durable snapshot covers, or 0 if there is none.
    pub snapshot_lsn: Lsn,
    /// The size of its contents in bytes.
    pub snapshot_len: u64,
    /// How long the last snapshot took, from freezing the state to truncating the log.
    pub snapshot_time: Duration,
    /// How long commands waited while the state was frozen last.
    pub freeze_time: Duration,
    /// Why the last attempt failed, if it did.
    pub snapshot_error: Option<Arc<Error>>,
    /// The bytes reserved for the next snapshot, or 0 if there was no room.
    pub reserved: u64,
}
