//! A service that uses a log in every way, is polled a limited number of times, and remembers the
//! answers.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use tidewal::{Durability, Lsn, PendingAppend, Record, Recovery, Result, Wal};
use tokio::sync::Notify;

use crate::helpers::moment;

/// Clones are the same service.
#[derive(Clone, Default)]
pub struct Service {
    state: Arc<Mutex<State>>,
    spent: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// The remaining number of polls.
    polls: usize,
    has_clock: bool,
    life: usize,
    /// The handle of the current life, once there is one.
    wal: Option<Wal>,
    is_closing: bool,
    /// Records that were submitted and not awaited.
    pending: Vec<(Bytes, PendingAppend)>,
    /// The payloads of each append.
    asked: Vec<Vec<Bytes>>,
    durable: BTreeMap<Lsn, Bytes>,
    mark: Lsn,
    failures: Vec<String>,
}

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service that is also polled when the log is idle.
    pub fn with_a_clock() -> Self {
        let service = Self::default();
        service.state().has_clock = true;
        service
    }

    /// Starts, works and ends within `polls` polls. Returns whether it has ended. Otherwise its
    /// futures are left in the runtime.
    pub async fn live(&self, polls: usize, recover: impl Recover) -> bool {
        self.begin_a_life(polls);
        let service = self.clone();
        let serve = async move {
            let result = service.serve(recover).await;
            service.note_failure(result);
        };
        let whole = tokio::spawn(self.clone().count(serve));
        tokio::select! {
            ended = whole => ended.unwrap().is_some(),
            () = self.spent.notified() => false,
        }
    }

    fn begin_a_life(&self, polls: usize) {
        let mut state = self.state();
        (state.polls, state.life) = (polls, state.life + 1);
        (state.wal, state.is_closing) = (None, false);
    }

    /// Nothing fails before the runtime is dropped.
    fn note_failure(&self, result: Result<()>) {
        let failure = result.err().map(|error| format!("{error:?}"));
        self.state().failures.extend(failure);
    }

    async fn serve(&self, recover: impl Recover) -> Result<()> {
        let wal = recover.await?.into_wal().await?;
        self.state().wal = Some(wal.clone());
        let clock = tick(self.state().has_clock);
        let clock = tokio::spawn(self.clone().count(clock));
        let tasks = self.jobs(&wal).map(|job| {
            let service = self.clone();
            let job = async move {
                service.note_failure(job.await);
            };
            tokio::spawn(self.clone().count(job))
        });
        for task in tasks {
            task.await.unwrap();
        }
        clock.abort();
        self.state().is_closing = true;
        wal.close().await
    }

    /// The handle of the last life, if it got one.
    pub fn take_wal(&self) -> Option<Wal> {
        self.state().wal.take()
    }

    pub fn has_begun_to_close(&self) -> bool {
        self.state().is_closing
    }

    /// The records that were submitted and not awaited.
    pub fn take_pending(&self) -> Vec<(Bytes, PendingAppend)> {
        std::mem::take(&mut self.state().pending)
    }

    fn jobs(&self, wal: &Wal) -> [BoxFuture<'static, Result<()>>; 6] {
        let clones = || (self.clone(), wal.clone());
        [
            append(clones()).boxed(),
            append_written(clones()).boxed(),
            append_batches(clones()).boxed(),
            submit(clones()).boxed(),
            keep_small(clones()).boxed(),
            follow(clones()).boxed(),
        ]
    }

    /// Polls a future while there are polls left.
    async fn count<F: Future>(self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            if !self.take_poll() {
                return Poll::Pending;
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }

    fn take_poll(&self) -> bool {
        let mut state = self.state();
        if state.polls == 0 {
            self.spent.notify_one();
            return false;
        }
        state.polls -= 1;
        true
    }

    /// The payloads of the next append, which are unique.
    fn ask(&self, what: &str, count: usize) -> Vec<Bytes> {
        let mut state = self.state();
        let (life, number) = (state.life, state.asked.len());
        let payload = |index| {
            let mut bytes = format!("{what} {life:02}/{number:04}.{index}").into_bytes();
            bytes.resize(1500, b'.');
            Bytes::from(bytes)
        };
        let payloads: Vec<_> = (0..count).map(payload).collect();
        state.asked.push(payloads.clone());
        payloads
    }

    /// Records an acknowledgment.
    pub fn note(&self, first: Lsn, payloads: impl IntoIterator<Item = Bytes>) {
        for (lsn, payload) in (first.get()..).map(Lsn::new).zip(payloads) {
            let mut state = self.state();
            if state.durable.insert(lsn, payload).is_some() {
                state.failures.push(format!("LSN {lsn} was given twice"));
            }
        }
    }

    /// Checks a log that was read back against the answers to the service, and that nothing failed.
    pub fn check(&self, records: &[Record]) {
        let state = self.state();
        assert!(state.failures.is_empty(), "{:?}", state.failures);
        assert!(
            records
                .windows(2)
                .all(|pair| pair[0].lsn.next() == pair[1].lsn)
        );
        let delivered: BTreeMap<_, _> = records.iter().map(|r| (r.lsn, &r.payload)).collect();
        for (lsn, payload) in state.durable.range(state.mark..) {
            assert_eq!(delivered.get(lsn), Some(&payload), "{lsn} was acknowledged");
        }
        assert!(
            records
                .first()
                .is_none_or(|r| r.lsn <= state.mark.max(Lsn::FIRST))
        );
        state.check_asked(records);
        check_order(records);
    }
}

/// How a log is recovered.
pub trait Recover: Future<Output = Result<Recovery>> + Send + 'static {}

impl<F: Future<Output = Result<Recovery>> + Send + 'static> Recover for F {}

impl State {
    /// Only requested records are in the log, once, and in complete batches.
    fn check_asked(&self, records: &[Record]) {
        let payloads: BTreeSet<_> = records.iter().map(|r| &r.payload).collect();
        assert_eq!(payloads.len(), records.len(), "a record is there twice");
        let mut known = 0;
        for batch in &self.asked {
            let found = batch.iter().filter(|p| payloads.contains(p)).count();
            assert!(found == 0 || found == batch.len(), "a batch in part");
            known += found;
        }
        assert_eq!(known, records.len(), "a record that was never appended");
    }
}

/// The submissions of one task keep their order.
fn check_order(records: &[Record]) {
    let payloads = records.iter().map(|record| &record.payload);
    assert!(payloads.filter(|p| p.starts_with(b"submit")).is_sorted());
}

type Parts = (Service, Wal);

async fn append((service, wal): Parts) -> Result<()> {
    for _ in 0..4 {
        let payloads = service.ask("append", 1);
        let lsn = wal.append(payloads[0].clone()).await?;
        service.note(lsn, payloads);
    }
    Ok(())
}

async fn append_written((service, wal): Parts) -> Result<()> {
    for _ in 0..2 {
        let payload = service.ask("append", 1).remove(0);
        wal.append_with(payload, Durability::Written).await?;
    }
    Ok(())
}

async fn append_batches((service, wal): Parts) -> Result<()> {
    for _ in 0..2 {
        let payloads = service.ask("batch", 3);
        let lsns = wal.append_batch(payloads.clone()).await?;
        service.note(*lsns.start(), payloads);
    }
    Ok(())
}

async fn submit((service, wal): Parts) -> Result<()> {
    for _ in 0..6 {
        let payload = service.ask("submit", 1).remove(0);
        let pending = wal.submit(payload.clone()).await?;
        service.state().pending.push((payload, pending));
    }
    Ok(())
}

/// Syncs and truncates.
async fn keep_small((service, wal): Parts) -> Result<()> {
    for _ in 0..2 {
        let durable = wal.sync().await?;
        let mark = Lsn::new(durable.get().saturating_sub(5));
        let highest = service.state().mark.max(mark);
        service.state().mark = highest;
        wal.truncate_before(mark).await?;
    }
    Ok(())
}

/// Follows the durable LSN while it is sure to move.
async fn follow((_, wal): Parts) -> Result<()> {
    let mut durable = wal.subscribe_durable();
    let last = wal.durable_lsn().get() + 10;
    while durable.next().await < Some(Lsn::new(last)) {}
    Ok(())
}

async fn tick(has_clock: bool) {
    for number in 1.. {
        match has_clock {
            true => moment(number).await,
            false => std::future::pending().await,
        }
    }
}
