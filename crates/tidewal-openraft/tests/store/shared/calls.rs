//! Random calls of one log, many of them in flight.

use std::future::Future;
use std::pin::Pin;

use futures::FutureExt;

use super::api::openraft_traits::RaftLogStorage;
use super::api::{Calls as _, RaftLog, StoreError, Vote, callback, log_id};
use super::state::{Model, Past, add, entry, state_of};
use crate::rng::Rng;
use crate::story::Calls;

/// Calls a log, and records what the calls do and which of them are acknowledged.
pub struct Caller<'a> {
    pub log: &'a mut RaftLog,
    pub past: &'a mut Past,
    pub rng: &'a mut Rng,
    pub in_flight: &'a mut InFlight,
}

/// The appends whose callbacks have not come, each with its number among the calls.
pub type InFlight = Vec<(usize, Flushed)>;

type Flushed = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

impl Caller<'_> {
    /// Makes one call.
    pub async fn call(&mut self, calls: &mut Calls) -> Result<(), StoreError> {
        calls.all += 1;
        calls.most_in_flight = calls.most_in_flight.max(self.in_flight.len());
        match self.rng.roll(16) {
            0 => self.vote().await.map(|()| calls.votes += 1),
            1 | 2 => self.commit().await,
            3 => self.truncate().await.map(|()| calls.truncations += 1),
            4 | 5 => self.purge().await.map(|()| calls.purges += 1),
            6 => self.settle(true).await,
            7 => {
                self.cancelled_vote().await;
                Ok(())
            }
            _ => self.append().await,
        }
    }

    async fn vote(&mut self) -> Result<(), StoreError> {
        let vote = Vote::new(self.rng.roll(50), 1);
        let call = self.past.ask(Model {
            vote: Some(vote.into()),
            ..self.past.now()
        });
        self.log.save_vote(&vote).await?;
        self.past.acknowledge(call);
        Ok(())
    }

    /// A vote whose future is dropped: it is saved or not, but never in part.
    async fn cancelled_vote(&mut self) {
        let vote = Vote::new(self.rng.roll(50), 2);
        let _ = self.log.save_vote(&vote).now_or_never();
        let now = state_of(self.log).await;
        let expected = Model {
            vote: now.vote,
            ..self.past.now()
        };
        assert_eq!(now, expected);
        self.past.ask(now);
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let committed = self.past.now().last();
        self.past.ask(Model {
            committed,
            ..self.past.now()
        });
        self.log.save_committed(committed.map(Into::into)).await
    }

    async fn append(&mut self) -> Result<(), StoreError> {
        let mut state = self.past.now();
        let next = state.next_index();
        let term = self.rng.roll(50);
        let entries: Vec<_> = (0..self.rng.roll(4))
            .map(|place| {
                let fill = u8::try_from(place).unwrap();
                entry(term, next + place, vec![fill; self.rng.len() / 2])
            })
            .collect();
        // An empty append promises nothing, which is the state at the beginning.
        let mut call = 0;
        for entry in &entries {
            add(&mut state, entry);
            call = self.past.ask(state.clone());
        }
        let (callback, flushed) = callback();
        self.in_flight.push((call, Box::pin(flushed)));
        self.log.append(entries, callback).await
    }

    async fn truncate(&mut self) -> Result<(), StoreError> {
        let mut state = self.past.now();
        let back = self.rng.roll(4);
        let Some(last) = state.last() else {
            return Ok(());
        };
        let since = last.index.saturating_sub(back);
        state.truncate(since);
        let call = self.past.ask(state);
        self.log.truncate_since(since).await?;
        self.past.acknowledge(call);
        Ok(())
    }

    /// Usually purges up to an entry, sometimes beyond the last one, as when a snapshot is
    /// installed.
    async fn purge(&mut self) -> Result<(), StoreError> {
        let mut state = self.past.now();
        let nth = self.rng.count(state.entries.len() as u64 + 1) - 1;
        let upto = match state.entries.iter().nth(nth) {
            _ if self.rng.once_in(6) => log_id(60, state.next_index() + self.rng.roll(5)),
            Some((index, (term, ..))) => log_id(*term, *index),
            None => return Ok(()),
        };
        state.purge(upto);
        let call = self.past.ask(state);
        self.log.purge(upto).await?;
        self.past.acknowledge(call);
        Ok(())
    }

    /// Checks, or waits for, the callbacks of appends, which come in order.
    pub async fn settle(&mut self, wait: bool) -> Result<(), StoreError> {
        while let Some((call, flushed)) = self.in_flight.first_mut() {
            let outcome = match wait {
                true => Some(flushed.await),
                false => flushed.now_or_never(),
            };
            let Some(outcome) = outcome else {
                for (_, later) in &mut self.in_flight[1..] {
                    let is_early = later.now_or_never().is_some_and(|outcome| outcome.is_ok());
                    assert!(!is_early, "a callback came early");
                }
                return Ok(());
            };
            let call = *call;
            drop(self.in_flight.remove(0));
            outcome?;
            self.past.acknowledge(call);
        }
        Ok(())
    }
}
