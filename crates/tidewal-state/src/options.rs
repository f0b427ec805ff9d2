//! Options and their defaults.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tidewal::typed::{Codec, Logged};
use tidewal::{Wal, WalOptions};

use crate::machine::OutputCodec;
use crate::sessions::Limits;
use crate::state::State;

/// How a state machine is opened and when it takes snapshots. [`StateMachine::options`](crate::StateMachine::options) makes them.
#[must_use = "options do nothing until a directory is opened with them"]
pub struct Options<S: State> {
    pub(crate) log: WalOptions,
    pub(crate) policy: SnapshotPolicy,
    pub(crate) reserve: u64,
    pub(crate) in_flight_bytes: u64,
    pub(crate) limits: Limits,
    pub(crate) outputs: Option<OutputCodec<S>>,
}

impl<S: State> Options<S> {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            log: Wal::options(),
            policy: SnapshotPolicy::default(),
            reserve: RESERVE_DEFAULT,
            in_flight_bytes: IN_FLIGHT_DEFAULT,
            limits: Limits::default(),
            outputs: None,
        }
    }

    /// The options of the log. Default: the log's defaults. `durability` and `start_at` are
    /// ignored.
    pub fn log(mut self, options: WalOptions) -> Self {
        self.log = options;
        self
    }

    /// When snapshots are taken. Default: [`SnapshotPolicy::default`].
    pub fn snapshots(mut self, policy: SnapshotPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Space is reserved for the next snapshot, so it fits on a disk that the log has filled: its
    /// estimated length, and a quarter of that, or this many bytes if that is more. Default: 4 MiB.
    /// With 0, nothing is reserved.
    ///
    /// The reserved space follows the growth of the state: see
    /// [`State::snapshot_len_hint`](crate::State::snapshot_len_hint).
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    /// How many bytes of commands may be in flight, until they are applied, before callers must
    /// wait. Default: 64 MiB. Each command counts as its record plus 64 bytes. A command of any size
    /// enters while less than the limit is in flight, so the limit is exceeded by at most one command,
    /// and by those that had to wait for a place in the log's queue.
    pub fn in_flight_bytes(mut self, bytes: u64) -> Self {
        self.in_flight_bytes = bytes;
        self
    }

    /// Enables [`execute_once`](crate::StateMachine::execute_once), with limits for the requests
    /// that are remembered.
    ///
    /// Outputs are kept in snapshots, so they need a codec. `Logged` can only be implemented for a
    /// type of your own: for an output such as `Result<u64, Refusal>`, use an enum or a wrapper
    /// (`examples/bank.rs`). Once a session was opened, the state
    /// machine must always be opened with this option.
    pub fn exactly_once(mut self, limits: Limits) -> Self
    where
        S::Output: Logged,
    {
        self.limits = limits;
        self.outputs = Some(OutputCodec {
            encode: |output| {
                let mut buffer = Vec::new();
                <S::Output as Logged>::Codec::encode(output, &mut buffer)?;
                Ok(Bytes::from(buffer))
            },
            decode: <S::Output as Logged>::Codec::decode,
        });
        self
    }
}

impl<S: State> Default for Options<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: State> Clone for Options<S> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            ..*self
        }
    }
}

impl<S: State> fmt::Debug for Options<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("log", &self.log)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// When snapshots are taken automatically, and how many are kept.
///
/// A snapshot is also taken whenever the log has found the disk full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a policy does nothing until a state machine is opened with it"]
pub struct SnapshotPolicy {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) pause: Duration,
    pub(crate) keep: usize,
}

impl SnapshotPolicy {
    /// Takes a snapshot after this many records since the last one. Default: no limit.
    pub fn every_records(mut self, records: u64) -> Self {
        self.records = records.max(1);
        self
    }

    /// Takes a snapshot after this many bytes of records since the last one. Default: 256 MiB. A
    /// start reads up to about this much of the log. The log takes about this much of the disk, or
    /// twice that if two snapshots are kept.
    pub fn every_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes.max(1);
        self
    }

    /// Takes snapshots only on request, or when the disk is full.
    pub fn only_when_asked(mut self) -> Self {
        (self.records, self.bytes) = (u64::MAX, u64::MAX);
        self
    }

    /// The shortest time between the beginnings of two snapshots. Default: 10 seconds.
    pub fn min_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How many snapshots are kept. Default: 2. Minimum: 1.
    ///
    /// The log is truncated to the oldest snapshot that is kept. With 2, if the medium damages the
    /// newest snapshot, the next start only takes longer. With 1, the state is lost.
    pub fn keep(mut self, snapshots: usize) -> Self {
        self.keep = snapshots.max(1);
        self
    }

    pub(crate) fn is_due(&self, records: u64, bytes: u64) -> bool {
        records >= self.records || bytes >= self.bytes
    }
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            records: u64::MAX,
            bytes: 256 * 1024 * 1024,
            pause: Duration::from_secs(10),
            keep: 2,
        }
    }
}

const RESERVE_DEFAULT: u64 = 4 * 1024 * 1024;
const IN_FLIGHT_DEFAULT: u64 = 64 * 1024 * 1024;
