//! One `Wal`, and the state that the raft logs in it share.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};

use bytes::Bytes;
use tidewal::{Durability, Error, Lsn, OrderedAppender, Result, Wal};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

use crate::core::completions::{Failure, Job, Pending, Then, complete, first_cause};
use crate::core::encoding::{FIRST_NUMBER, Header, Owner};
use crate::core::growth::Growth;
use crate::core::marks::{Marks, trim};
use crate::core::memory::{Memory, SharedMemory};
use crate::core::rebuild::Rebuilt;
use crate::core::types::Types;

/// A `Wal` with raft logs. It is closed when the last of them is dropped.
pub(crate) struct SharedWal<T: Types> {
    wal: Wal,
    /// All groups share it, so it has no bound that kept futures could use up. Entries are bounded by
    /// the memory limit, and other records by their callers, who wait for the answers.
    jobs: mpsc::UnboundedSender<Job<T>>,
    pub(crate) marks: Arc<Marks>,
    growth: Option<Arc<Growth>>,
    /// The memory of the entries of all groups, in bytes, including what is reserved for appends.
    held: AtomicU64,
}

/// Memory for the entries of an append. What they do not take in the end is given back.
pub(crate) struct Reserved<'a, T: Types> {
    shared: &'a SharedWal<T>,
    bytes: u64,
}

impl<T: Types> SharedWal<T> {
    /// Starts the tasks that answer calls and that truncate the log.
    pub(crate) fn start(wal: Wal, marks: Marks, growth: Option<Growth>) -> Arc<Self> {
        let marks = Arc::new(marks);
        let (jobs, receiver) = mpsc::unbounded_channel();
        T::spawn(trim(wal.clone(), marks.subscribe()));
        T::spawn(complete(receiver, marks.clone()));
        Arc::new(Self {
            wal,
            jobs,
            marks,
            growth: growth.map(Arc::new),
            held: AtomicU64::new(0),
        })
    }

    pub(crate) fn growth(&self) -> Option<&Arc<Growth>> {
        self.growth.as_ref()
    }

    /// The memory of the entries of all groups, in bytes.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Whether memory could be reserved now.
    pub(crate) fn has_room(&self, bytes: u64, limit: u64) -> bool {
        sum_within(limit, self.held(), bytes).is_some()
    }

    /// Reserves memory, unless all groups together would then hold more than `limit`. It is all or
    /// nothing, so of several appends that each fit, the first gets its memory.
    pub(crate) fn reserve(&self, bytes: u64, limit: u64) -> Option<Reserved<'_, T>> {
        let add = |held| sum_within(limit, held, bytes);
        self.held.fetch_update(Relaxed, Relaxed, add).ok()?;
        let shared = self;
        Some(Reserved { shared, bytes })
    }

    /// Changes the memory of a group. What it holds in addition was reserved before, so the total
    /// changes only if it holds less.
    fn change(&self, memory: &SharedMemory<T>, change: impl FnOnce(&mut Memory<T>)) {
        let mut memory = memory.lock();
        let before = memory.bytes();
        change(&mut memory);
        let freed = before.saturating_sub(memory.bytes());
        self.held.fetch_sub(freed, Relaxed);
    }
}

impl<T: Types> Reserved<'_, T> {
    /// An entry of this size is in the memory of a group now.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }
}

impl<T: Types> Drop for Reserved<'_, T> {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(self.bytes, Relaxed);
    }
}

/// `held` with `bytes` more, unless this is more than `limit`. Nothing more is allowed even if `held`
/// is: the log can have been written with a higher limit.
fn sum_within(limit: u64, held: u64, bytes: u64) -> Option<u64> {
    let sum = held.checked_add(bytes)?;
    (bytes == 0 || sum <= limit).then_some(sum)
}

impl<T: Types> Drop for SharedWal<T> {
    /// Closes the log although the tasks still have a handle, so opening it again in this process
    /// waits.
    fn drop(&mut self) {
        let close = pin!(self.wal.clone().close());
        let _ = close.poll(&mut Context::from_waker(Waker::noop()));
        if let Some(growth) = &self.growth {
            // The keeper ends.
            growth.grown.notify_one();
        }
    }
}

/// One raft log in a `Wal`.
pub(crate) struct Group<T: Types> {
    owner: Owner,
    pub(crate) memory: SharedMemory<T>,
    failure: Failure,
    /// Removals that are not durable. One that was refused is counted until the log is opened again.
    removals: Arc<AtomicU64>,
    submitter: Mutex<Submitter>,
}

struct Submitter {
    /// Nothing after a refused record is recorded.
    appender: OrderedAppender,
    /// The number of the next record.
    next: u64,
}

impl<T: Types> Group<T> {
    pub(crate) fn new(shared: &SharedWal<T>, owner: Owner, rebuilt: Rebuilt<T>) -> Self {
        shared.held.fetch_add(rebuilt.memory.bytes(), Relaxed);
        Self {
            owner,
            memory: SharedMemory::new(rebuilt.memory),
            failure: Failure::default(),
            removals: Arc::default(),
            submitter: Mutex::new(Submitter {
                appender: shared.wal.ordered(),
                next: rebuilt.next,
            }),
        }
    }

    /// Waits until the records of this group that are being submitted are in the queue.
    pub(crate) async fn turn<'a>(&'a self, shared: &'a SharedWal<T>) -> Turn<'a, T> {
        let submitter = self.submitter.lock().await;
        Turn {
            shared,
            group: self,
            submitter,
        }
    }
}

/// The right to submit the next records of a group.
pub(crate) struct Turn<'a, T: Types> {
    shared: &'a SharedWal<T>,
    group: &'a Group<T>,
    submitter: MutexGuard<'a, Submitter>,
}

impl<T: Types> Turn<'_, T> {
    /// The header of the next record.
    pub(crate) fn header(&self) -> Header {
        Header {
            owner: self.group.owner,
            number: self.submitter.next,
        }
    }

    /// Submits records, and changes the memory accordingly. `change` gets an LSN that is not after
    /// that of any of these records. There is no await after the submission, so log, memory and
    /// completions agree even if the future is dropped.
    pub(crate) async fn submit(
        &mut self,
        records: Vec<Bytes>,
        durability: Durability,
        then: Then<T>,
        change: impl FnOnce(&mut Memory<T>, Lsn),
    ) -> Result<()> {
        self.group.failure.check()?;
        if self.shared.jobs.is_closed() {
            return Err(Error::Interrupted);
        }
        let lsn = self.shared.wal.durable_lsn().next();
        let group = self.group.owner.id();
        if self.is_new() {
            self.shared.marks.begin(group, lsn);
        }
        let count = records.len() as u64;
        let bytes = records.iter().map(Bytes::len).sum::<usize>();
        let pending = self.submitter.submit(records, durability).await;
        let job = Job {
            group,
            failure: self.group.failure.clone(),
            pending: pending.map_err(first_cause)?,
            then,
        };
        // It fails if the runtime has ended, and nothing is submitted after that.
        let sent = self.shared.jobs.send(job);
        sent.map_err(|_| Error::Interrupted)?;
        self.submitter.next += count;
        self.shared
            .change(&self.group.memory, |memory| change(memory, lsn));
        if let Some(growth) = self.shared.growth() {
            growth.note(lsn, bytes as u64);
        }
        Ok(())
    }

    /// Submits the last record of a group. Afterwards the group is a new one.
    pub(crate) async fn submit_last(
        &mut self,
        record: Bytes,
        answer: oneshot::Sender<Result<()>>,
    ) -> Result<()> {
        let removals = self.group.removals.clone();
        let then = Then::Removed { removals, answer };
        let removals = &self.group.removals;
        let clear = |memory: &mut Memory<T>, _| {
            *memory = Memory::new();
            removals.fetch_add(1, Relaxed);
        };
        self.submit(vec![record], Durability::Durable, then, clear)
            .await?;
        self.submitter.next = FIRST_NUMBER;
        Ok(())
    }

    /// Whether the group has no record, except for those before a removal.
    pub(crate) fn is_new(&self) -> bool {
        self.submitter.next == FIRST_NUMBER
    }

    /// Removes the mark of a group that needs nothing. A group that is being removed still needs its
    /// records: they are all that is left of it if its removal is lost.
    pub(crate) fn forget_mark(&self) {
        if self.is_new() && self.group.removals.load(Relaxed) == 0 {
            self.shared.marks.remove(self.group.owner.id());
        }
    }
}

impl Submitter {
    async fn submit(&self, mut records: Vec<Bytes>, durability: Durability) -> Result<Pending> {
        Ok(match records.len() {
            0 => Pending::Earlier,
            1 => {
                let record = records.swap_remove(0);
                Pending::One(self.appender.submit_with(record, durability).await?)
            }
            _ => {
                let batch = self.appender.submit_batch_with(records, durability);
                Pending::Batch(batch.await?)
            }
        })
    }
}
