//! The task that applies durable commands in the order of the log, and then answers.
//!
//! It owns the submitted commands, so a dropped caller leaves no gap. One group commit wakes this
//! task once. It applies the whole group under one lock, and then wakes the callers.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidewal::{Lsn, PendingAppend};
use tokio::sync::{mpsc, oneshot};

use crate::core::Core;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::mutants::{Mutant, is_active};
use crate::sessions::{Limits, RequestId, SessionId};
use crate::state::State;

pub(crate) type Sender<T> = oneshot::Sender<Result<T>>;

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
    One(Sender<S::Output>, Result<S::Output>),
    Many(Sender<Vec<S::Output>>, Result<Vec<S::Output>>),
    Session(Sender<SessionId>, Result<SessionId>),
}

impl<S: State> Work<S> {
    fn apply(self, machine: &mut Machine<S>, lsn: Lsn) -> Answer<S> {
        match self {
            Self::Command(command, reply) => Answer::One(reply, machine.command(lsn, command)),
            Self::Request(id, command, reply) => {
                Answer::One(reply, machine.request(lsn, id, command))
            }
            Self::Batch(commands, reply) => Answer::Many(reply, machine.batch(lsn, commands)),
            Self::Session(limits, reply) => Answer::Session(reply, machine.session(lsn, limits)),
        }
    }

    fn refuse(self, error: Error) -> Answer<S> {
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
    /// The received messages, in order of arrival.
    received: VecDeque<Message<S>>,
    buffer: Vec<Message<S>>,
    /// Durable records that arrived before one with a lower LSN: a caller's thread was interrupted
    /// between the log and this task.
    early: BTreeMap<Lsn, Work<S>>,
    answers: Vec<Answer<S>>,
}

/// The log's answers to the records of a group, in order of arrival.
type Group<S> = Vec<(tidewal::Result<Lsn>, u64, Work<S>)>;

impl<S: State> Applier<S> {
    pub(crate) fn new(core: Arc<Core<S>>, messages: mpsc::UnboundedReceiver<Message<S>>) -> Self {
        Self {
            core,
            messages,
            received: VecDeque::new(),
            buffer: Vec::new(),
            early: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    /// Runs until no handle is left and everything was answered.
    pub(crate) async fn run(mut self) {
        let mut group = Vec::new();
        loop {
            let mut barrier = None;
            let more = poll_fn(|context| self.poll_group(context, &mut group, &mut barrier)).await;
            self.apply(&mut group);
            if let Some(barrier) = barrier {
                // The waiting caller may have been dropped.
                let _ = barrier.send(());
            }
            if !more {
                return;
            }
        }
    }

    /// Waits for records that the log has answered, and takes all of them. Returns `false` after
    /// the last one.
    fn poll_group(
        &mut self,
        context: &mut Context<'_>,
        group: &mut Group<S>,
        barrier: &mut Option<oneshot::Sender<()>>,
    ) -> Poll<bool> {
        while group.len() < GROUP_MAX {
            let Some(message) = self.received.pop_front() else {
                match self
                    .messages
                    .poll_recv_many(context, &mut self.buffer, GROUP_MAX)
                {
                    Poll::Ready(0) => return Poll::Ready(false),
                    Poll::Ready(_) => self.received.extend(self.buffer.drain(..)),
                    Poll::Pending => break,
                }
                continue;
            };
            let mut submitted = match message {
                Message::Submitted(submitted) => submitted,
                Message::Barrier(sender) => {
                    *barrier = Some(sender);
                    return Poll::Ready(true);
                }
            };
            match Pin::new(&mut submitted.pending).poll(context) {
                Poll::Ready(outcome) => group.push((outcome, submitted.bytes, submitted.work)),
                Poll::Pending => {
                    self.received.push_front(Message::Submitted(submitted));
                    break;
                }
            }
        }
        if group.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(true)
        }
    }

    /// Applies a group under one lock. The answers are sent afterwards, because callers may query
    /// at once.
    fn apply(&mut self, group: &mut Group<S>) {
        if group.is_empty() {
            return;
        }
        if is_active(Mutant::ApplyOrderSwapped) {
            group.reverse();
        }
        let (mut records, mut record_bytes, mut room) = (0, 0, 0);
        let core = Arc::clone(&self.core);
        let mut machine = core.machine.write();
        for (outcome, bytes, work) in group.drain(..) {
            room += bytes;
            match outcome {
                Ok(lsn) => {
                    records += 1;
                    record_bytes += bytes;
                    let is_next = lsn == machine.applied.next();
                    if is_next || is_active(Mutant::ApplyOrderSwapped) {
                        self.answers.push(work.apply(&mut machine, lsn));
                    } else {
                        self.early.insert(lsn, work);
                    }
                    self.apply_in_order(&mut machine);
                }
                Err(error) => {
                    if matches!(error, tidewal::Error::StorageFull(_)) {
                        core.requests.request_because_full();
                    }
                    self.answers.push(work.refuse(error.into()));
                }
            }
        }
        core.note_place(machine.applied);
        if machine.broken.is_some() {
            core.note_broken();
        }
        drop(machine);
        core.note_applied(records, record_bytes);
        core.in_flight.leave(room);
        self.answers.drain(..).for_each(Answer::send);
    }

    /// Applies the early records whose turn it is.
    fn apply_in_order(&mut self, machine: &mut Machine<S>) {
        while let Some(entry) = self.early.first_entry() {
            let is_next = *entry.key() == machine.applied.next();
            if !is_next && machine.broken.is_none() {
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

/// The most records that are applied before callers get their answers and queries get the lock.
const GROUP_MAX: usize = 1024;
