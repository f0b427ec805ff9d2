//! What a state machine says about itself.

use std::sync::Arc;
use std::time::Duration;

use tidewal::Lsn;

use crate::error::Error;

/// What a state machine has done since it was opened. [`StateMachine::stats`](crate::StateMachine::stats)
/// makes one.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The last record that was applied.
    pub applied: Lsn,
    /// Records applied since the last snapshot was taken.
    pub records_since_snapshot: u64,
    /// Their bytes.
    pub bytes_since_snapshot: u64,
    /// Snapshots that were written.
    pub snapshots: u64,
    /// The last record that the newest durable snapshot covers; 0 if there is none.
    pub snapshot_lsn: Lsn,
    /// Bytes of its contents.
    pub snapshot_len: u64,
    /// How long the last snapshot took, from the frozen view to the truncated log.
    pub snapshot_time: Duration,
    /// For how long commands had to wait for the last view.
    pub freeze_time: Duration,
    /// Why the last attempt failed, if it did.
    pub snapshot_error: Option<Arc<Error>>,
    /// Bytes that could be set aside for the next snapshot; 0 if there was no room.
    pub reserved: u64,
}
