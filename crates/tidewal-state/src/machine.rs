//! The state at one LSN, and the only code that changes it, both at a start and in service.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use tidewal::Lsn;
use tidewal::typed::BoxError;

use crate::error::{Error, Result};
use crate::mutants::{Mutant, is_active};
use crate::record::Operation;
use crate::sessions::{Known, Limits, RequestId, SessionId, Sessions};
use crate::state::State;

/// The effect of all records up to `applied`, and of no other.
pub(crate) struct Machine<S: State> {
    pub(crate) state: S,
    pub(crate) applied: Lsn,
    pub(crate) sessions: Sessions,
    /// Why nothing more is applied.
    pub(crate) broken: Option<Error>,
    /// The codec for outputs that are kept for retries, if they are.
    pub(crate) outputs: Option<OutputCodec<S>>,
}

/// Encodes and decodes outputs.
pub(crate) struct OutputCodec<S: State> {
    pub(crate) encode: fn(&S::Output) -> Result<Bytes, BoxError>,
    pub(crate) decode: fn(Bytes) -> Result<S::Output, BoxError>,
}

impl<S: State> Clone for OutputCodec<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: State> Copy for OutputCodec<S> {}

impl<S: State> Machine<S> {
    pub(crate) fn new(outputs: Option<OutputCodec<S>>) -> Self {
        Self {
            state: S::default(),
            applied: Lsn::ZERO,
            sessions: Sessions::default(),
            broken: None,
            outputs,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Applies a record that was read back.
    pub(crate) fn replay(&mut self, lsn: Lsn, operation: Operation<S::Command>) -> Result<()> {
        match operation {
            Operation::Command(command) => self.command(lsn, command).map(drop),
            Operation::Batch(commands) => self.batch(lsn, commands).map(drop),
            Operation::Session(limits) => self.session(lsn, limits).map(drop),
            Operation::Request(id, command) => match self.request(lsn, id, command) {
                // The request was answered with this error.
                Err(Error::SessionExpired { .. } | Error::RequestForgotten { .. }) => Ok(()),
                answered => answered.map(drop),
            },
        }
    }

    pub(crate) fn command(&mut self, lsn: Lsn, command: S::Command) -> Result<S::Output> {
        self.check()?;
        let output = self.apply(lsn, command)?;
        self.applied = lsn;
        Ok(output)
    }

    pub(crate) fn batch(&mut self, lsn: Lsn, commands: Vec<S::Command>) -> Result<Vec<S::Output>> {
        self.check()?;
        let outputs = commands
            .into_iter()
            .zip(0..)
            .map(|(command, index)| self.apply(mutated(lsn, index), command))
            .collect::<Result<_>>()?;
        self.applied = lsn;
        Ok(outputs)
    }

    pub(crate) fn session(&mut self, lsn: Lsn, limits: Limits) -> Result<SessionId> {
        self.check()?;
        self.applied = lsn;
        Ok(self.sessions.open(lsn, limits))
    }

    /// Applies a request unless it was applied before.
    pub(crate) fn request(
        &mut self,
        lsn: Lsn,
        id: RequestId,
        command: S::Command,
    ) -> Result<S::Output> {
        self.check()?;
        let codec = self.outputs.ok_or(Error::ExactlyOnceOff { lsn })?;
        let known = self.sessions.look_up(id);
        if matches!(known, Known::New | Known::Applied(_)) {
            self.sessions.touch(lsn, id);
        }
        let output = match answer_known(codec, lsn, id, known) {
            Some(answer) => answer,
            None => self.request_now(lsn, id, command, codec),
        };
        self.check()?;
        self.applied = lsn;
        output
    }

    fn request_now(
        &mut self,
        lsn: Lsn,
        id: RequestId,
        command: S::Command,
        codec: OutputCodec<S>,
    ) -> Result<S::Output> {
        let output = self.apply(lsn, command)?;
        match unless_it_panics(|| (codec.encode)(&output)) {
            Ok(bytes) => self.sessions.remember(id, bytes),
            Err(error) => {
                let source = error.into();
                self.broken = Some(Error::Output { lsn, source });
            }
        }
        Ok(output)
    }

    fn apply(&mut self, lsn: Lsn, command: S::Command) -> Result<S::Output> {
        // After a panic the state is no longer used.
        let applied = catch_unwind(AssertUnwindSafe(|| self.state.apply(lsn, command)));
        applied.map_err(|cause| {
            let message = message_of(&*cause).into();
            let error = Error::Panicked { lsn, message };
            self.broken = Some(error.clone());
            error
        })
    }
}

/// The LSN of a command in a batch: that of the batch.
fn mutated(lsn: Lsn, index: u64) -> Lsn {
    match is_active(Mutant::BatchLsnsDiffer) {
        true => Lsn::new(lsn.get() + index),
        false => lsn,
    }
}

/// The answer to a request that must not be applied, or `None` if it must be.
pub(crate) fn answer_known<S: State>(
    codec: OutputCodec<S>,
    lsn: Lsn,
    id: RequestId,
    known: Known,
) -> Option<Result<S::Output>> {
    match known {
        Known::New => None,
        Known::Applied(bytes) => {
            let decoded = unless_it_panics(|| (codec.decode)(bytes));
            Some(decoded.map_err(|error| Error::Output {
                lsn,
                source: error.into(),
            }))
        }
        Known::Forgotten => Some(Err(Error::RequestForgotten {
            sequence: id.sequence,
        })),
        Known::Expired => Some(Err(Error::SessionExpired {
            session: id.session.get(),
        })),
    }
}

/// Calls a codec and turns its panic into an error. An unwinding panic would leave a state that has the
/// effect of a record without its LSN, and a snapshot of that state would have the record applied twice.
fn unless_it_panics<T>(code: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    let returned = catch_unwind(AssertUnwindSafe(code));
    returned.unwrap_or_else(|cause| Err(format!("it panicked: {}", message_of(&*cause)).into()))
}

fn message_of(cause: &(dyn std::any::Any + Send)) -> &str {
    let text = cause.downcast_ref::<&str>().copied();
    let owned = || cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(owned).unwrap_or("no message")
}
