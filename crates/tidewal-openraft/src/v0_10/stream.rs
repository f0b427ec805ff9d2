//! Entries as streams.

use std::collections::VecDeque;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use openraft::RaftTypeConfig;
use openraft::errors::LeaderChanged;
use openraft::storage::{LeaderBoundedStreamError, LeaderBoundedStreamResult};
use openraft::type_config::alias::{LeaderIdOf, VoteOf};
use openraft::vote::RaftVote;

use crate::core::{SharedMemory, Types};
use crate::v0_10::V0_10;

/// A stream of the entries of a range. A few of them are cloned at a time.
///
/// With a leader, the stream delivers entries as long as the vote is that leader's and committed.
/// It checks the vote and reads the entries under one lock.
pub(super) struct EntryStream<C: RaftTypeConfig> {
    memory: SharedMemory<V0_10<C>>,
    leader: Option<LeaderIdOf<C>>,
    /// The first index that has not been read. `end` is the first index after the range.
    next: u64,
    end: u64,
    /// Whether an entry was read already, so the next one must follow it.
    begun: bool,
    ready: VecDeque<C::Entry>,
}

impl<C> EntryStream<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    pub(super) fn new(
        memory: SharedMemory<V0_10<C>>,
        range: &impl RangeBounds<u64>,
        leader: Option<LeaderIdOf<C>>,
    ) -> Self {
        let next = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Self {
            memory,
            leader,
            next,
            end,
            begun: false,
            ready: VecDeque::new(),
        }
    }

    fn next_entry(&mut self) -> Option<LeaderBoundedStreamResult<C>> {
        if self.ready.is_empty()
            && self.next < self.end
            && let Err(error) = self.read()
        {
            self.next = self.end;
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }

    fn read(&mut self) -> Result<(), LeaderBoundedStreamError<C>> {
        let memory = self.memory.lock();
        if let Some(leader) = &self.leader {
            check_leader(leader, memory.vote.as_ref())?;
        }
        let read = memory.clone_range(self.next..self.end, STREAM_BYTES);
        drop(memory);
        let indexes = || {
            read.iter()
                .map(|entry| V0_10::<C>::index(&V0_10::<C>::log_id(entry)))
        };
        if let (true, Some(first)) = (self.begun, indexes().next())
            && first != self.next
        {
            return Err(io::Error::other(format!(
                "entry {} was purged while it was read",
                self.next
            ))
            .into());
        }
        self.begun = true;
        self.next = indexes().last().map_or(self.end, |last| last + 1);
        self.ready = read.into();
        Ok(())
    }
}

fn check_leader<C: RaftTypeConfig>(
    leader: &LeaderIdOf<C>,
    vote: Option<&VoteOf<C>>,
) -> Result<(), LeaderChanged<C>> {
    match vote {
        Some(vote) if vote.leader_id() == leader && vote.is_committed() => Ok(()),
        other => Err(LeaderChanged::new(leader.clone(), other.cloned())),
    }
}

impl<C: RaftTypeConfig> Unpin for EntryStream<C> {}

impl<C> Stream for EntryStream<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    type Item = LeaderBoundedStreamResult<C>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next_entry())
    }
}

/// The same stream if the leader does not matter.
pub(super) struct Unbounded<C: RaftTypeConfig>(pub(super) EntryStream<C>);

impl<C> Stream for Unbounded<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone,
{
    type Item = Result<C::Entry, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next_entry().map(|entry| {
            entry.map_err(|error| match error {
                LeaderBoundedStreamError::IoError(error) => error,
                changed @ LeaderBoundedStreamError::LeaderChanged(_) => io::Error::other(changed),
            })
        }))
    }
}

/// The most bytes of entries that a stream clones at a time, unless a single entry is larger.
const STREAM_BYTES: u64 = 64 * 1024;
