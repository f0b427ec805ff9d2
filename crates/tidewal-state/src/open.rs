//! Starting a state machine: the newest sound snapshot, then the rest of the log.

use std::path::Path;

use tidewal::snapshot::{LockedDir, Snapshot, SnapshotError, SnapshotFile, SnapshotState};
use tidewal::{Durability, Lsn, Recovery, WalOptions};

use crate::contents;
use crate::error::{Error, Result};
use crate::handle::StateMachine;
use crate::machine::Machine;
use crate::mutants::{Mutant, is_active};
use crate::options::Options;
use crate::record;
use crate::state::State;

impl<S: State> StateMachine<S> {
    /// The options, for a state machine that differs from the defaults.
    pub fn options() -> Options<S> {
        Options::new()
    }

    /// Opens the state machine in `dir` with the defaults: [`Options::open`].
    ///
    /// # Errors
    ///
    /// The errors of [`Options::open`].
    ///
    /// # Cancel safety
    ///
    /// Like [`Options::open`].
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(dir).await
    }
}

impl<S: State> Options<S> {
    /// Opens the state machine in `dir`: reads the newest sound snapshot and applies the records
    /// after it.
    ///
    /// Creates the directory if necessary. Must be called on a tokio runtime with time enabled. The
    /// tasks that apply commands and take snapshots run on it.
    ///
    /// A snapshot that is damaged, belongs to another log, or has a later format is skipped. The
    /// one before it is used, if the log reaches back that far.
    ///
    /// # Errors
    ///
    /// [`Error::Log`] with those of [`WalOptions::recover`](tidewal::WalOptions::recover);
    /// [`Error::NoSnapshot`], [`Error::BehindSnapshot`], [`Error::StateVersion`], [`Error::Snapshot`],
    /// [`Error::Undecodable`], [`Error::Panicked`], [`Error::ExactlyOnceOff`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, nothing is open, and the directory is unlocked
    /// shortly afterwards.
    pub async fn open(self, dir: impl AsRef<Path>) -> Result<StateMachine<S>> {
        let locked = self.log_options().lock(dir).await?;
        start(locked, self).await
    }

    /// As [`open`](Self::open), on a simulated disk.
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open).
    #[cfg(feature = "sim")]
    pub async fn open_on(
        self,
        disk: &tidewal::sim::SimDisk,
        dir: impl AsRef<Path>,
    ) -> Result<StateMachine<S>> {
        let locked = self.log_options().lock_on(disk, dir).await?;
        start(locked, self).await
    }
}

impl<S: State> Options<S> {
    /// Commands are durable, whatever the options of the log say.
    fn log_options(&self) -> WalOptions {
        self.log
            .clone()
            .durability(match is_active(Mutant::AnsweredBeforeDurable) {
                true => Durability::Written,
                false => Durability::Durable,
            })
    }
}

async fn start<S: State>(locked: LockedDir, options: Options<S>) -> Result<StateMachine<S>> {
    let mut start = Start::new(Machine::new(options.outputs));
    start.load(&locked).await?;
    let from = start.machine.applied.next();
    let recovery = locked.recover(from).await;
    let mut recovery = recovery.map_err(|error| start.begins_too_late(error))?;
    start.replay(&mut recovery).await?;
    start.check_end()?;
    let wal = recovery.into_wal().await?;
    let Start {
        machine,
        snapshot,
        replayed,
        ..
    } = start;
    StateMachine::start(wal, machine, snapshot, replayed, &options).await
}

/// The progress of a start.
struct Start<S: State> {
    machine: Machine<S>,
    snapshot: Option<Snapshot>,
    /// Newer snapshots that were skipped.
    skipped: Vec<SnapshotFile>,
    /// Records replayed, and their bytes.
    replayed: (u64, u64),
}

impl<S: State> Start<S> {
    fn new(machine: Machine<S>) -> Self {
        Self {
            machine,
            snapshot: None,
            skipped: Vec::new(),
            replayed: (0, 0),
        }
    }

    /// Reads the newest snapshot that is sound and of this log.
    ///
    /// Fails if that snapshot has diverged from the log.
    async fn load(&mut self, locked: &LockedDir) -> Result<()> {
        for mut file in locked.snapshots().await?.into_iter().rev() {
            // Reading a diverged snapshot fails. It is not skipped, because the log may have lost
            // records.
            let is_own = matches!(
                file.state,
                SnapshotState::Whole { .. } | SnapshotState::Diverged
            );
            if is_own {
                match self.read(locked, file.lsn).await {
                    Err(Error::Snapshot(SnapshotError::Damaged { .. })) => {
                        file.state = SnapshotState::Damaged;
                    }
                    Err(Error::Snapshot(SnapshotError::Io(_))) => {
                        file.state = SnapshotState::Unreadable;
                    }
                    read => return read,
                }
            }
            self.skipped.push(file);
        }
        Ok(())
    }

    async fn read(&mut self, locked: &LockedDir, lsn: Lsn) -> Result<()> {
        let read = locked.read_snapshot(lsn, |input| contents::read::<S>(input));
        let (snapshot, contents) = read.await?;
        let (state, sessions) = contents.known(lsn, S::VERSION)?;
        self.machine.state = state;
        self.machine.sessions = sessions;
        self.machine.applied = lsn;
        self.snapshot = Some(snapshot);
        Ok(())
    }

    async fn replay(&mut self, recovery: &mut Recovery) -> Result<()> {
        while let Some(record) = recovery.try_next().await? {
            self.replayed.0 += 1;
            self.replayed.1 += record.payload.len() as u64;
            let operation = record::decode(record.lsn, record.payload)?;
            self.machine.replay(record.lsn, operation)?;
        }
        Ok(())
    }

    /// If the log begins after the snapshot, newer snapshots are lost.
    fn begins_too_late(&self, error: tidewal::Error) -> Error {
        match error {
            tidewal::Error::Truncated { oldest, .. } => Error::NoSnapshot {
                oldest,
                skipped: self.skipped.as_slice().into(),
            },
            other => other.into(),
        }
    }

    /// Checks that the log does not end before a skipped snapshot: the records that it covers were
    /// durable, even if the snapshot is damaged now or cannot be read.
    fn check_end(&self) -> Result<()> {
        let is_lost = |file: &&SnapshotFile| {
            matches!(
                file.state,
                SnapshotState::Damaged | SnapshotState::Unreadable
            )
        };
        let lost = self.skipped.iter().filter(is_lost).map(|file| file.lsn);
        match lost.max() {
            Some(snapshot) if snapshot > self.machine.applied => Err(Error::BehindSnapshot {
                snapshot,
                end: self.machine.applied,
            }),
            _ => Ok(()),
        }
    }
}
