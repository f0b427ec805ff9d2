//! The task that applies durable commands in the order of the log, and then answers.
//!
//! It owns the submitted commands, so a dropped caller leaves no gap. One group commit wakes this
//! task once. The task applies what is durable, up to 128 records under one lock, and then wakes
//! their callers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tidewal::{Lsn, PendingAppend};
use tokio::sync::{mpsc, oneshot};

use crate::core::Core;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::mutants::{Mutant, is_active};
use crate::sessions::{Limits, RequestId, SessionId};
use crate::state::State;

/// Errors are boxed, because most answers are outputs, and many are in flight.
pub(crate) type Boxed<T> = Result<T, Box<Error>>;

pub(crate) type Sender<T> = oneshot::Sender<Boxed<T>>;

/// A record that was submitted to the log, and the work to do once it is durable.
pub(crate) struct Submitted<S: State> {
    pub(crate) pending: PendingAppend,
    pub(crate) bytes: u64,
    pub(crate) work: Work<S>,
}

pub(crate) enum Work<S: State> {
    Command(S::Command, Sender<S::Output>),
    Request(RequestId, S::Command, Sender<S::Output>),
    Batch(Vec<S::Command>, Sender<Vec<S::Output>>),
    Session(Limits, Sender<SessionId>),
}

/// A message to the applier.
pub(crate) enum Message<S: State> {
    Submitted(Submitted<S>),
    /// Answered once everything before it was answered.
    Barrier(oneshot::Sender<()>),
}

/// An answer that is sent after the lock is released.
enum Answer<S: State> {
    One(Sender<S::Output>, Boxed<S::Output>),
    Many(Sender<Vec<S::Output>>, Boxed<Vec<S::Output>>),
    Session(Sender<SessionId>, Boxed<SessionId>),
}

impl<S: State> Work<S> {
    fn apply(self, machine: &mut Machine<S>, lsn: Lsn) -> Answer<S> {
        match self {
            Self::Command(command, reply) => {
                Answer::One(reply, machine.command(lsn, command).map_err(Box::new))
            }
            Self::Request(id, command, reply) => {
                Answer::One(reply, machine.request(lsn, id, command).map_err(Box::new))
            }
            Self::Batch(commands, reply) => {
                Answer::Many(reply, machine.batch(lsn, commands).map_err(Box::new))
            }
            Self::Session(limits, reply) => {
                Answer::Session(reply, machine.session(lsn, limits).map_err(Box::new))
            }
        }
    }

    fn refuse(self, error: Error) -> Answer<S> {
        let error = Box::new(error);
        match self {
            Self::Command(_, reply) | Self::Request(_, _, reply) => Answer::One(reply, Err(error)),
            Self::Batch(_, reply) => Answer::Many(reply, Err(error)),
            Self::Session(_, reply) => Answer::Session(reply, Err(error)),
        }
    }
}

impl<S: State> Answer<S> {
    /// The caller may have been dropped.
    fn send(self) {
        match self {
            Self::One(reply, answer) => drop(reply.send(answer)),
            Self::Many(reply, answer) => drop(reply.send(answer)),
            Self::Session(reply, answer) => drop(reply.send(answer)),
        }
    }
}

/// The task.
pub(crate) struct Applier<S: State> {
    core: Arc<Core<S>>,
    messages: mpsc::UnboundedReceiver<Message<S>>,
    /// The record that was received last, until the log has answered.
    unanswered: Option<Submitted<S>>,
    /// Durable records that arrived before one with a lower LSN: a caller's thread was interrupted
    /// between the log and this task.
    early: BTreeMap<Lsn, Work<S>>,
    answers: Vec<Answer<S>>,
    /// Answered once no record is early.
    barriers: Vec<oneshot::Sender<()>>,
}

/// What comes next, in order of arrival.
enum Next<S: State> {
    Record(Answered<S>),
    Barrier(oneshot::Sender<()>),
    /// No handle is left, and no record is unanswered.
    End,
}

/// A record that the log has answered.
struct Answered<S: State> {
    outcome: tidewal::Result<Lsn>,
    bytes: u64,
    work: Work<S>,
}

/// Sums over a group of answered records.
#[derive(Default)]
struct Sums {
    room: u64,
    applied: u64,
    applied_bytes: u64,
}

impl<S: State> Applier<S> {
    pub(crate) fn new(core: Arc<Core<S>>, messages: mpsc::UnboundedReceiver<Message<S>>) -> Self {
        Self {
            core,
            messages,
            unanswered: None,
            early: BTreeMap::new(),
            answers: Vec::new(),
            barriers: Vec::new(),
        }
    }

    /// Runs until no handle is left and everything was answered.
    pub(crate) async fn run(mut self) {
        loop {
            let is_end = poll_fn(|context| self.poll_group(context)).await;
            // The lock is free: callers may query at once.
            self.answers.drain(..).for_each(Answer::send);
            if self.early.is_empty() {
                for barrier in self.barriers.drain(..) {
                    // The waiting caller may have been dropped.
                    let _ = barrier.send(());
                }
            }
            if is_end {
                return;
            }
        }
    }

    /// Waits for records that the log has answered, and applies a group of them. Returns whether
    /// the end comes after them.
    ///
    /// Tokio's budget ends a group after 128 records at the latest, and other tasks get their turn.
    /// Otherwise a slow `apply` could keep them waiting for as long as records come.
    fn poll_group(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let next = match ready!(self.poll_next(context)) {
            Next::Record(first) => self.apply_group(first, context),
            next => Some(next),
        };
        if let Some(Next::Barrier(barrier)) = next {
            self.barriers.push(barrier);
            return Poll::Ready(false);
        }
        Poll::Ready(matches!(next, Some(Next::End)))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next<S>> {
        let mut submitted = match self.unanswered.take() {
            Some(submitted) => submitted,
            None => match ready!(self.messages.poll_recv(context)) {
                Some(Message::Submitted(submitted)) => submitted,
                Some(Message::Barrier(sender)) => return Poll::Ready(Next::Barrier(sender)),
                None => return Poll::Ready(Next::End),
            },
        };
        let Poll::Ready(outcome) = Pin::new(&mut submitted.pending).poll(context) else {
            self.unanswered = Some(submitted);
            return Poll::Pending;
        };
        let Submitted { bytes, work, .. } = submitted;
        Poll::Ready(Next::Record(Answered {
            outcome,
            bytes,
            work,
        }))
    }

    /// Applies records under one lock, from `first` on, as far as the log has answered. Returns
    /// what comes after them, if that is not a record.
    fn apply_group(&mut self, first: Answered<S>, context: &mut Context<'_>) -> Option<Next<S>> {
        let core = Arc::clone(&self.core);
        let mut machine = core.machine.write();
        let mut sums = Sums::default();
        let mut next = Some(Next::Record(first));
        while let Some(Next::Record(record)) = next {
            self.settle(&mut machine, &mut sums, record);
            next = match self.poll_next(context) {
                Poll::Ready(next) => Some(next),
                Poll::Pending => None,
            };
        }
        self.apply_early(&mut machine);
        core.note_place(machine.applied);
        if machine.broken.is_some() {
            core.note_broken();
        }
        drop(machine);
        core.note_applied(sums.applied, sums.applied_bytes);
        core.in_flight.leave(sums.room);
        next
    }

    /// Applies a record, or refuses its caller as the log did.
    fn settle(&mut self, machine: &mut Machine<S>, sums: &mut Sums, record: Answered<S>) {
        sums.room += record.bytes;
        match record.outcome {
            Ok(lsn) => {
                sums.applied += 1;
                sums.applied_bytes += record.bytes;
                self.apply(machine, lsn, record.work);
            }
            Err(error) => {
                if matches!(error, tidewal::Error::StorageFull(_)) {
                    self.core.requests.request_because_full();
                }
                self.answers.push(record.work.refuse(error.into()));
            }
        }
    }

    fn apply(&mut self, machine: &mut Machine<S>, lsn: Lsn, work: Work<S>) {
        let is_next = match is_active(Mutant::ApplyOrderSwapped) {
            // Every second record of a group waits for the one after it.
            true => !self.early.is_empty(),
            false => lsn == machine.applied.next(),
        };
        if is_next {
            self.answers.push(work.apply(machine, lsn));
            self.apply_early(machine);
        } else {
            self.early.insert(lsn, work);
        }
    }

    /// Applies the early records whose turn it is.
    fn apply_early(&mut self, machine: &mut Machine<S>) {
        while let Some(entry) = self.early.first_entry() {
            let is_next = *entry.key() == machine.applied.next();
            let is_swapped = is_active(Mutant::ApplyOrderSwapped);
            if !is_next && !is_swapped && machine.broken.is_none() {
                return;
            }
            let (lsn, work) = entry.remove_entry();
            self.answers.push(work.apply(machine, lsn));
        }
    }
}

impl<S: State> Drop for Applier<S> {
    /// However the task ends, for example with its runtime, no caller waits for room any longer.
    /// Later submissions are answered by their closed channel.
    fn drop(&mut self) {
        self.core.in_flight.open();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::pin::pin;

    use bytes::Bytes;
    use futures::poll;
    use tidewal::Wal;
    use tidewal::typed::{BoxError, Codec, Logged};

    use super::*;
    use crate::options::Options;
    use crate::state::SnapshotFormat;

    /// Counts commands.
    #[derive(Default)]
    struct Count(u64);

    struct Increment;

    struct Unused;

    impl Logged for Increment {
        type Codec = Unused;
    }

    impl Codec<Increment> for Unused {
        fn encode(_: &Increment, _: &mut Vec<u8>) -> Result<(), BoxError> {
            unreachable!("nothing is encoded")
        }

        fn decode(_: Bytes) -> Result<Increment, BoxError> {
            unreachable!("nothing is decoded")
        }
    }

    impl SnapshotFormat<Count> for Unused {
        type Frozen = ();

        fn freeze(_: &Count) {}

        fn write((): (), _: &mut dyn Write) -> Result<(), BoxError> {
            unreachable!("no snapshot is written")
        }

        fn read(_: u32, _: &mut dyn Read) -> Result<Count, BoxError> {
            unreachable!("no snapshot is read")
        }
    }

    impl State for Count {
        type Command = Increment;
        type Output = u64;
        type Snapshot = Unused;

        fn apply(&mut self, _: Lsn, _: Increment) -> u64 {
            self.0 += 1;
            self.0
        }
    }

    /// A caller of `close` came while another caller's thread was between the log and this task.
    #[tokio::test]
    async fn regression_a_barrier_waits_for_records_that_came_early() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path()).await.unwrap();
        let submit = async || {
            let pending = wal.submit("record").await.unwrap();
            let (reply, answer) = oneshot::channel();
            let work = Work::Command(Increment, reply);
            let submitted = Submitted {
                pending,
                bytes: 0,
                work,
            };
            (Message::Submitted(submitted), answer)
        };
        let (first, first_answer) = submit().await;
        let (second, second_answer) = submit().await;
        wal.sync().await.unwrap();
        let options = Options::<Count>::new();
        let core = Arc::new(Core::new(Machine::new(None), (0, 0), &options));
        let (sender, messages) = mpsc::unbounded_channel();
        let mut run = pin!(Applier::new(core, messages).run());

        let (barrier, mut passed) = oneshot::channel();
        sender.send(second).ok().unwrap();
        sender.send(Message::Barrier(barrier)).ok().unwrap();
        assert!(poll!(&mut run).is_pending());
        passed.try_recv().unwrap_err();

        sender.send(first).ok().unwrap();
        assert!(poll!(&mut run).is_pending());
        passed.try_recv().unwrap();
        assert_eq!(first_answer.await.unwrap().unwrap(), 1);
        assert_eq!(second_answer.await.unwrap().unwrap(), 2);
    }
}
