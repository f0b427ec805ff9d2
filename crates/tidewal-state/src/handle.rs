//! The handle of a state machine.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tidewal::snapshot::Snapshot;
use tidewal::{Lsn, PendingAppend, TrySubmitError, Wal};
use tokio::sync::{mpsc, oneshot};

use crate::applier::{Applier, Boxed, Message, Sender, Submitted, Work};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::in_flight::Taken;
use crate::machine::{Machine, answer_known};
use crate::options::Options;
use crate::record;
use crate::sessions::{Limits, RequestId, SessionId};
use crate::snapshotter::Snapshotter;
use crate::state::State;
use crate::stats::Stats;

/// A durable state machine: every command that was answered is durable, and applied exactly once in
/// the order of the log.
///
/// A handle is cheap to clone, and all clones are the same state machine. When the last one is
/// dropped, the log closes in the background. Opening the same directory in the same process waits
/// for that.
///
/// # Examples
///
/// See [the crate](crate).
pub struct StateMachine<S: State> {
    shared: Arc<Shared<S>>,
}

/// Shared by all handles, and dropped with the last of them.
struct Shared<S: State> {
    wal: Arc<Wal>,
    core: Arc<Core<S>>,
    applier: mpsc::UnboundedSender<Message<S>>,
    limits: Limits,
}

impl<S: State> StateMachine<S> {
    pub(crate) async fn start(
        wal: Wal,
        machine: Machine<S>,
        snapshot: Option<Snapshot>,
        replayed: (u64, u64),
        options: &Options<S>,
    ) -> Result<Self> {
        let core = Arc::new(Core::new(machine, replayed, options));
        let (sender, messages) = mpsc::unbounded_channel();
        let snapshots = wal.snapshots();
        let wal = Arc::new(wal);
        core.note(|stats| {
            stats.snapshot_lsn = snapshot.as_ref().map_or(Lsn::ZERO, Snapshot::lsn);
            stats.snapshot_len = snapshot.as_ref().map_or(0, Snapshot::len);
        });
        let snapshotter = Snapshotter::new(Arc::clone(&core), &wal, snapshot, snapshots);
        snapshotter.reserve().await;
        tokio::spawn(Applier::new(Arc::clone(&core), messages).run());
        tokio::spawn(snapshotter.run());
        core.note_applied(0, 0);
        let shared = Shared {
            wal,
            core,
            applier: sender,
            limits: options.limits,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Executes a command: returns its output once the command is durable and applied.
    ///
    /// Many calls share one sync. Once a caller has the output, every query shows the command's
    /// effect.
    ///
    /// # Errors
    ///
    /// [`Error::Log`] with the errors of [`Wal::append`], [`Error::Unencodable`],
    /// [`Error::Panicked`], [`Error::Interrupted`]. If [`Error::is_outcome_unknown`] returns
    /// `true`, the command may still be executed. Otherwise it certainly is not.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the command may or may not be executed. Use
    /// [`submit`](Self::submit) to tell the two cases apart.
    pub async fn execute(&self, command: S::Command) -> Result<S::Output> {
        self.submit(command).await?.await
    }

    /// Submits a command, and returns a future of its output.
    ///
    /// If one submission returns before another begins, its command is applied first.
    ///
    /// # Errors
    ///
    /// [`Error::Log`], [`Error::Unencodable`], [`Error::Panicked`]. After each of these the command
    /// is certainly not executed.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped before it completes, it is guaranteed that the command is not
    /// executed. If the [`PendingOutput`] is dropped, the command is still executed, and only its
    /// output is lost.
    pub async fn submit(&self, command: S::Command) -> Result<PendingOutput<S::Output>> {
        let payload = record::command(&command)?;
        self.shared
            .submit(payload, |reply| Work::Command(command, reply))
            .await
    }

    /// Executes several commands as one: all or none of them are in the log, and no query and no
    /// other command comes between them. Returns their outputs.
    ///
    /// They are one record, so they share an LSN, and together must fit into the log's
    /// `max_record_size`.
    ///
    /// # Errors
    ///
    /// The errors of [`execute`](Self::execute), and [`tidewal::Error::EmptyBatch`] if there is no
    /// command.
    ///
    /// # Cancel safety
    ///
    /// Like [`execute`](Self::execute): if the future is dropped before it completes, the batch may
    /// or may not be executed, but never a part of it.
    pub async fn execute_batch<I>(&self, commands: I) -> Result<Vec<S::Output>>
    where
        I: IntoIterator<Item = S::Command>,
    {
        let commands: Vec<_> = commands.into_iter().collect();
        if commands.is_empty() {
            return Err(tidewal::Error::EmptyBatch.into());
        }
        let payload = record::batch(&commands)?;
        let submit = self
            .shared
            .submit(payload, |reply| Work::Batch(commands, reply));
        submit.await?.await
    }

    /// Opens a session for [`execute_once`](Self::execute_once). Open one for each client that may
    /// retry requests.
    ///
    /// The session is durable and part of every snapshot. If there are too many sessions, the least
    /// recently used one expires: see [`Limits`].
    ///
    /// # Errors
    ///
    /// The errors of [`execute`](Self::execute), and [`Error::ExactlyOnceOff`] without
    /// [`Options::exactly_once`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may be opened, but no client knows its id.
    pub async fn open_session(&self) -> Result<SessionId> {
        self.check_exactly_once()?;
        let limits = self.shared.limits;
        let submit = self.shared.submit(record::session(limits), |reply| {
            Work::Session(limits, reply)
        });
        submit.await?.await
    }

    /// Executes a request of a session exactly once: if it is sent again with the same id, it is
    /// not executed again, and the first output is returned.
    ///
    /// After an unknown outcome, here or at the client, send the request again. This also works
    /// after a crash, and while the first attempt is still in flight. A client may have up to
    /// [`Limits::window`] requests in flight, and increments the sequence number with each new
    /// request.
    ///
    /// # Errors
    ///
    /// The errors of [`execute`](Self::execute). [`Error::SessionExpired`] and
    /// [`Error::RequestForgotten`] if it is unknown whether the request was executed earlier, in
    /// which case it is not executed now. [`Error::ExactlyOnceOff`], [`Error::Output`].
    ///
    /// # Cancel safety
    ///
    /// Like [`execute`](Self::execute).
    pub async fn execute_once(&self, id: RequestId, command: S::Command) -> Result<S::Output> {
        if let Some(answer) = self.answer_known(id)? {
            return answer;
        }
        let payload = record::request(id, &command)?;
        let submit = self
            .shared
            .submit(payload, |reply| Work::Request(id, command, reply));
        submit.await?.await
    }

    /// Calls `read` with the state. The state is durable, and includes the effect of every command
    /// that was answered before this call.
    ///
    /// No command is applied while `read` runs, so it should be short. It must not call `query`
    /// itself: a command that waits to be applied would keep the second one waiting, and with it
    /// the first.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`] and [`Error::Output`] once the state can no longer be used.
    pub fn query<R>(&self, read: impl FnOnce(&S) -> R) -> Result<R> {
        let machine = self.shared.core.machine.read();
        machine.check()?;
        Ok(read(&machine.state))
    }

    /// Takes a snapshot now, and truncates the log. Returns the last record that it covers.
    ///
    /// Commands continue in the meantime, except while the state is being
    /// [frozen](crate::SnapshotFormat::freeze). A snapshot that is already running is finished
    /// first.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`], [`Error::Panicked`]. [`Error::Log`] if the log could not be truncated,
    /// in which case the snapshot was taken.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the snapshot may still be taken.
    pub async fn snapshot(&self) -> Result<Lsn> {
        let answer = self.shared.core.requests.request().await;
        answer.unwrap_or(Err(Error::Interrupted))
    }

    /// What the state machine has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.core.stats()
    }

    /// What the log has done since it was opened.
    #[must_use]
    pub fn log_stats(&self) -> tidewal::Stats {
        self.shared.wal.stats()
    }

    /// Waits until everything that was submitted before this call is durable, whatever the sync policy.
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::sync`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the sync may still happen.
    pub async fn sync(&self) -> Result<()> {
        self.shared.wal.sync().await?;
        Ok(())
    }

    /// Closes the log, after everything that was submitted is applied and answered. A running
    /// snapshot is abandoned.
    ///
    /// Other handles then get [`tidewal::Error::Closed`] for commands, and can still query.
    ///
    /// # Errors
    ///
    /// The errors of [`Wal::close`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was first polled, the log still closes.
    pub async fn close(self) -> Result<()> {
        let closed = Wal::clone(&self.shared.wal).close().await;
        let (sender, answered) = oneshot::channel();
        if self.shared.applier.send(Message::Barrier(sender)).is_ok() {
            // An applier that has ended has nothing to answer.
            let _ = answered.await;
        }
        self.shared.core.requests.wait_finished().await;
        Ok(closed?)
    }

    fn check_exactly_once(&self) -> Result<()> {
        let machine = self.shared.core.machine.read();
        match machine.outputs {
            Some(_) => Ok(()),
            None => Err(Error::ExactlyOnceOff {
                lsn: machine.applied.next(),
            }),
        }
    }

    /// The answer to a request that was applied already and needs no new record.
    fn answer_known(&self, id: RequestId) -> Result<Option<Result<S::Output>>> {
        self.check_exactly_once()?;
        let machine = self.shared.core.machine.read();
        machine.check()?;
        let known = machine.sessions.look_up(id);
        let codec = machine.outputs;
        let lsn = machine.applied;
        drop(machine);
        Ok(codec.and_then(|codec| answer_known(codec, lsn, id, known)))
    }
}

impl<S: State> Shared<S> {
    /// Submits a record, and sends the applier the work for it.
    ///
    /// There is no await between the log and the applier, so no record in the log is forgotten.
    async fn submit<T>(
        &self,
        payload: Bytes,
        work: impl FnOnce(Sender<T>) -> Work<S>,
    ) -> Result<PendingOutput<T>> {
        self.core.check()?;
        let bytes = payload.len() as u64 + COST;
        let payload = match self.try_submit(payload, bytes)? {
            Ok((pending, room)) => return Ok(self.hand_over(pending, room, work)),
            Err(payload) => payload,
        };
        // In a box, so that the futures of callers that find room are small.
        let (pending, room) = Box::pin(self.wait_and_submit(payload, bytes)).await?;
        Ok(self.hand_over(pending, room, work))
    }

    /// Submits a record, if there is room for it. Otherwise returns the payload.
    fn try_submit(
        &self,
        payload: Bytes,
        bytes: u64,
    ) -> Result<Result<(PendingAppend, Taken<'_>), Bytes>> {
        let Some(room) = self.core.in_flight.try_enter(bytes) else {
            return Ok(Err(payload));
        };
        match self.wal.try_submit(payload) {
            Ok(pending) => Ok(Ok((pending, room))),
            Err(TrySubmitError::Full(payload)) => Ok(Err(payload)),
            Err(error) => Err(tidewal::Error::from(error).into()),
        }
    }

    async fn wait_and_submit(
        &self,
        payload: Bytes,
        bytes: u64,
    ) -> Result<(PendingAppend, Taken<'_>)> {
        let mut room = Some(self.core.in_flight.enter(bytes).await);
        let mut submit = pin!(self.wal.submit(payload));
        let pending = poll_fn(|context| {
            let submitted = submit.as_mut().poll(context);
            // It waits for room in the log's queue, and may never be polled again.
            room = room.take().filter(|_| submitted.is_ready());
            submitted
        });
        let pending = pending.await?;
        let room = room.unwrap_or_else(|| self.core.in_flight.enter_beyond(bytes));
        Ok((pending, room))
    }

    /// Hands a record that is in the log's queue to the applier.
    fn hand_over<T>(
        &self,
        pending: PendingAppend,
        room: Taken<'_>,
        work: impl FnOnce(Sender<T>) -> Work<S>,
    ) -> PendingOutput<T> {
        let (reply, answer) = oneshot::channel();
        let submitted = Submitted {
            pending,
            bytes: room.bytes(),
            work: work(reply),
        };
        if self.applier.send(Message::Submitted(submitted)).is_ok() {
            room.hand_over();
        }
        PendingOutput(answer)
    }
}

impl<S: State> Drop for Shared<S> {
    /// Closes the log now, even while it is being truncated, so a caller that opens the directory
    /// next waits for it.
    fn drop(&mut self) {
        self.core.requests.end();
        let mut close = pin!(Wal::clone(&self.wal).close());
        let mut context = Context::from_waker(std::task::Waker::noop());
        // Polling it once is enough for the log to close.
        let _ = close.as_mut().poll(&mut context);
    }
}

impl<S: State> Clone for StateMachine<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: State> fmt::Debug for StateMachine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMachine")
            .field("applied", &self.shared.core.applied())
            .finish_non_exhaustive()
    }
}

/// A command that was submitted: a future of its output.
///
/// # Cancel safety
///
/// Dropping it does not take the command back. Only the output is lost.
///
/// # Errors
///
/// Certainly not executed: [`Error::Log`] with [`StorageFull`](tidewal::Error::StorageFull) or
/// [`Poisoned`](tidewal::Error::Poisoned). See [`Error::is_outcome_unknown`].
#[must_use = "only the output says whether and when the command is durable"]
#[derive(Debug)]
pub struct PendingOutput<T>(oneshot::Receiver<Boxed<T>>);

impl<T> Future for PendingOutput<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| match answer {
            Ok(answer) => answer.map_err(|error| *error),
            Err(_) => Err(Error::Interrupted),
        })
    }
}

/// Bytes that a command counts in addition to its record.
const COST: u64 = 64;
