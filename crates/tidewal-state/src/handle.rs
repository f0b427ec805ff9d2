//! The handle.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tidewal::snapshot::Snapshot;
use tidewal::{Durability, Lsn, Wal};
use tokio::sync::{mpsc, oneshot};

use crate::applier::{Applier, Message, Sender, Submitted, Work};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::machine::{Machine, answer_known};
use crate::mutants::{Mutant, is_active};
use crate::options::Options;
use crate::record;
use crate::sessions::{Limits, RequestId, SessionId};
use crate::snapshotter::Snapshotter;
use crate::state::State;
use crate::stats::Stats;

/// A state that survives: every command that was answered is durable and applied, once, in the order of
/// the log.
///
/// A handle is cheap to clone, and all clones are the same state machine. When the last one is dropped the
/// log closes in the background; opening the same directory in the same process waits for that.
///
/// # Examples
///
/// See [the crate](crate).
pub struct StateMachine<S: State> {
    shared: Arc<Shared<S>>,
}

/// What all handles share; gone with the last of them.
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
    /// Many calls share one sync. A caller that has the output finds the command's effect in every query.
    ///
    /// # Errors
    ///
    /// [`Error::Log`] with those of [`Wal::append`], [`Error::Unencodable`], [`Error::Panicked`],
    /// [`Error::Interrupted`]. [`Error::is_outcome_unknown`] tells whether the command may be executed all
    /// the same; otherwise it certainly is not.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the command may or may not be executed. Use
    /// [`submit`](Self::submit) to tell the two apart.
    pub async fn execute(&self, command: S::Command) -> Result<S::Output> {
        self.submit(command).await?.await
    }

    /// Submits a command, and returns a future of its output.
    ///
    /// A submission that has returned before another one began is applied before it.
    ///
    /// # Errors
    ///
    /// [`Error::Log`], [`Error::Unencodable`], [`Error::Panicked`]; the command is then certainly not
    /// executed.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped before it completes, it is guaranteed that the command is not executed. If
    /// the [`PendingOutput`] is dropped, the command is executed all the same, and only its output is
    /// lost.
    pub async fn submit(&self, command: S::Command) -> Result<PendingOutput<S::Output>> {
        let payload = record::command(&command)?;
        self.shared
            .submit(payload, |reply| Work::Command(command, reply))
            .await
    }

    /// Executes several commands as one: they are in the log together or not at all, and no query and no
    /// other command comes between them. Returns their outputs.
    ///
    /// They are one record, so they share an LSN, and must fit into `max_record_size` of the log together.
    ///
    /// # Errors
    ///
    /// The errors of [`execute`](Self::execute), and [`tidewal::Error::EmptyBatch`] without a command.
    ///
    /// # Cancel safety
    ///
    /// Like [`execute`](Self::execute). A batch is never executed in part.
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

    /// Opens a session for [`execute_once`](Self::execute_once): one for each client that may send a
    /// request again.
    ///
    /// The session is durable, and part of every snapshot, until it is the one that was not used for
    /// longest among too many: see [`Limits`].
    ///
    /// # Errors
    ///
    /// The errors of [`execute`](Self::execute), and [`Error::ExactlyOnceOff`] without
    /// [`Options::exactly_once`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the session may be opened, and is not used by anyone.
    pub async fn open_session(&self) -> Result<SessionId> {
        self.check_exactly_once()?;
        let limits = self.shared.limits;
        let submit = self.shared.submit(record::session(limits), |reply| {
            Work::Session(limits, reply)
        });
        submit.await?.await
    }

    /// Executes a request of a session exactly once: when it is sent again, with the same id, it is not
    /// executed again, and the output is that of the first time.
    ///
    /// So after an unknown outcome, on this side or on the client's, send it again: also after a crash, and
    /// also while the first one is still on its way. A client may have as many requests in flight as
    /// [`Limits::window`] says, and counts each new one up by one.
    ///
    /// # Errors
    ///
    /// The errors of [`execute`](Self::execute). [`Error::SessionExpired`] and [`Error::RequestForgotten`] if it
    /// cannot be told whether the request was executed, in which case it is not executed now;
    /// [`Error::ExactlyOnceOff`], [`Error::Output`].
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

    /// Looks at the state. What it shows is durable, and has the effect of every command that was answered
    /// before this call.
    ///
    /// `read` keeps commands from being applied while it runs, so it should be short. It must not call `query`
    /// itself: a command that waits to be applied would keep the second one waiting, and with it the first.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`] and [`Error::Output`] once the state is not to be used any more.
    pub fn query<R>(&self, read: impl FnOnce(&S) -> R) -> Result<R> {
        let machine = self.shared.core.machine.read();
        machine.check()?;
        Ok(read(&machine.state))
    }

    /// Takes a snapshot now, and truncates the log. Returns the last record that it covers.
    ///
    /// Commands go on in the meantime, but for the moment in which the state is
    /// [frozen](crate::SnapshotFormat::freeze). A snapshot that is under way is finished first.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`], [`Error::Panicked`]; [`Error::Log`] if the log could not be truncated, in which
    /// case the snapshot is there.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the snapshot may be taken all the same.
    pub async fn snapshot(&self) -> Result<Lsn> {
        let answer = self.shared.core.asks.ask().await;
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

    /// Closes the log, after everything that was submitted is applied and answered. A snapshot that is
    /// under way is given up.
    ///
    /// Other handles then get [`tidewal::Error::Closed`], and can still query.
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
        drop(self.shared.core.snapshotting.lock().await);
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

    /// The answer to a request that needs no record, because it has one.
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
    /// Submits a record and tells the applier what is to be done with it.
    ///
    /// From the log to the applier there is no await, so that nothing that is in the log is forgotten.
    async fn submit<T>(
        &self,
        payload: Bytes,
        work: impl FnOnce(Sender<T>) -> Work<S>,
    ) -> Result<PendingOutput<T>> {
        self.core.check()?;
        let bytes = payload.len() as u64 + COST;
        let mut room = Some(self.core.room.enter(bytes).await);
        let durability = match is_active(Mutant::AnsweredBeforeDurable) {
            true => Durability::Written,
            false => Durability::Durable,
        };
        let mut submit = pin!(self.wal.submit_with(payload, durability));
        let pending = poll_fn(|context| {
            let submitted = submit.as_mut().poll(context);
            // It waits for room in the log's queue, and may never be polled again.
            room = room.take().filter(|_| submitted.is_ready());
            submitted
        });
        let pending = pending.await?;
        let room = room.unwrap_or_else(|| self.core.room.enter_beyond(bytes));
        let (reply, answer) = oneshot::channel();
        let submitted = Submitted {
            pending,
            bytes,
            work: work(reply),
        };
        if self.applier.send(Message::Submitted(submitted)).is_ok() {
            room.hand_over();
        }
        Ok(PendingOutput(answer))
    }
}

impl<S: State> Drop for Shared<S> {
    /// The log closes now, even while it is being truncated: a caller that opens the directory next waits for
    /// that.
    fn drop(&mut self) {
        self.core.asks.end();
        let mut close = pin!(Wal::clone(&self.wal).close());
        let mut context = Context::from_waker(std::task::Waker::noop());
        // It closes even if it is polled only once.
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
/// Dropping it does not take the command back; only the output is lost.
///
/// # Errors
///
/// Certainly not executed: [`Error::Log`] with [`StorageFull`](tidewal::Error::StorageFull) or
/// [`Poisoned`](tidewal::Error::Poisoned). See [`Error::is_outcome_unknown`].
#[must_use = "only the output says whether and when the command is durable"]
#[derive(Debug)]
pub struct PendingOutput<T>(oneshot::Receiver<Result<T>>);

impl<T> Future for PendingOutput<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| answer.unwrap_or(Err(Error::Interrupted)))
    }
}

/// Bytes that a command counts for beside its record.
const COST: u64 = 64;
