//! Reading a log while it is open: a stream of its durable records.
//!
//! [`Follower`] takes records from the [`feed`](crate::feed) if it has them, and otherwise from the
//! task that reads finished segments ([`catch_up`]). It never opens the file that is being written.

mod catch_up;
mod finished;
mod segments;
mod source;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Error, Result};
use crate::feed::{Cursor, Found, Registration};
use crate::follow::catch_up::Chunks;
use crate::follow::source::Source;
use crate::lsn::Lsn;
use crate::record::Record;
use crate::recovery::Records;
use crate::wal::Wal;

pub use crate::follow::finished::{FinishedSegment, FinishedSegments, SegmentBytes};
pub use crate::follow::segments::{SegmentList, Segments};

impl Wal {
    /// Follows the log: returns a stream of its durable records, starting at `from`, that waits for
    /// more at the end of the log.
    ///
    /// [`Lsn::ZERO`] means the oldest record that is kept. If the record at `from` was truncated, or if `from`
    /// is more than one beyond the last durable record, the first item is an error.
    ///
    /// A follower that is behind does not keep records from being truncated: take a
    /// [`hold`](Self::hold) first if they are still needed. `docs/follow.md` in the repository says
    /// where records come from, and what a follower costs.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidewal::{Lsn, Wal};
    ///
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let dir = dir.path();
    /// let wal = Wal::open(dir).await?;
    /// let mut follower = wal.follow(Lsn::ZERO);
    /// wal.append("a record").await?;
    /// let record = follower.try_next().await?.expect("the log is open");
    /// assert_eq!(record.payload, "a record");
    ///
    /// wal.close().await?;
    /// assert!(follower.try_next().await?.is_none(), "it ends with the log");
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn follow(&self, from: Lsn) -> Follower {
        let source = Source::of(self);
        Follower {
            registration: source.feed.register(),
            source,
            next: from,
            state: State::Start,
        }
    }
}

/// A stream of the durable records of an open log, in order and each exactly once. Made by [`Wal::follow`].
///
/// A record is delivered only after the sync that made it durable. At the end of the log the stream
/// waits for more. It ends with the log: with `None` if the log was closed and every durable record
/// was delivered, otherwise with an error. After an error the stream has ended. A new follower can
/// continue from [`next_lsn`](Self::next_lsn).
///
/// A follower does not keep the log open. It slows no append, whether it is polled or not. It works
/// on any executor.
///
/// # Cancel safety
///
/// [`try_next`](Self::try_next) and the stream are cancel safe: if the future is dropped before it
/// completes, no record is lost.
#[must_use = "a follower reads nothing unless it is polled"]
pub struct Follower {
    source: Source,
    registration: Registration,
    /// The next record that is delivered.
    next: Lsn,
    state: State,
}

/// Where the next record comes from.
enum State {
    /// Not polled yet.
    Start,
    /// To be looked up.
    Between,
    Memory(Cursor),
    Files {
        chunks: Chunks,
        records: Records,
        /// The permit for the memory that these records take.
        room: Option<OwnedSemaphorePermit>,
    },
    Ended,
}

impl Follower {
    /// The next record, once it is durable, or `None` once the log is closed.
    ///
    /// The same as the stream, without the need to import its traits.
    ///
    /// # Errors
    ///
    /// - [`Error::Truncated`] if the next record was truncated
    /// - [`Error::BeyondEnd`] if the first record is more than one beyond the last durable one
    /// - [`Error::Corrupt`], [`Error::Unsupported`] and [`Error::Io`] as in recovery
    /// - [`Error::Closed`] if the log was closed before all records were delivered
    /// - [`Error::Poisoned`], [`Error::OutcomeUnknown`] and [`Error::Interrupted`] if the log ended
    ///   with one of these
    ///
    /// After an error the stream has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completes, no record is lost.
    pub async fn try_next(&mut self) -> Result<Option<Record>> {
        poll_fn(|context| self.poll_record(context))
            .await
            .transpose()
    }

    /// The LSN of the record that is delivered next. Before the first poll, a follower that starts
    /// at the oldest record returns [`Lsn::ZERO`].
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    fn poll_record(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Record>>> {
        loop {
            let item = match ready!(self.poll_step(context)) {
                Polled::Go => continue,
                Polled::Record(record) => {
                    self.next = record.lsn.next();
                    Some(Ok(record))
                }
                Polled::End(end) => {
                    self.state = State::Ended;
                    end.err().map(Err)
                }
            };
            return Poll::Ready(item);
        }
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Polled> {
        match &mut self.state {
            State::Start => Poll::Ready(self.check_start()),
            State::Between => self.poll_find(context),
            State::Memory(cursor) => match cursor.next() {
                Some(record) => Poll::Ready(Polled::Record(record)),
                None => self.go_to(State::Between),
            },
            State::Files {
                chunks,
                records,
                room,
            } => {
                if let Some(record) = records.next() {
                    return Poll::Ready(Polled::Record(record));
                }
                *room = None;
                match ready!(chunks.poll_recv(context)) {
                    Some(Ok(chunk)) => {
                        *records = chunk.records;
                        *room = Some(chunk.room);
                        Poll::Ready(Polled::Go)
                    }
                    Some(Err(error)) => Poll::Ready(Polled::End(Err(error))),
                    None => self.go_to(State::Between),
                }
            }
            State::Ended => Poll::Ready(Polled::End(Ok(()))),
        }
    }

    fn go_to(&mut self, state: State) -> Poll<Polled> {
        self.state = state;
        Poll::Ready(Polled::Go)
    }

    fn check_start(&mut self) -> Polled {
        let (asked, end) = (self.next, self.source.feed.durable_end());
        if asked > end.next() {
            return Polled::End(Err(Error::BeyondEnd { asked, end }));
        }
        if asked == Lsn::ZERO {
            self.next = self.source.retention.oldest().unwrap_or(end.next());
        }
        self.state = State::Between;
        Polled::Go
    }

    fn poll_find(&mut self, context: &Context<'_>) -> Poll<Polled> {
        let found = ready!(self.registration.poll_find(self.next, context));
        match found {
            Found::Memory(cursor) => self.go_to(State::Memory(cursor)),
            Found::Files => match catch_up::start(self.source.clone(), self.next) {
                Ok(chunks) => self.go_to(State::Files {
                    chunks,
                    records: Records::none(),
                    room: None,
                }),
                Err(error) => Poll::Ready(Polled::End(Err(error))),
            },
            Found::End(end) => Poll::Ready(Polled::End(end)),
            Found::CutOff(error) => Poll::Ready(Polled::End(Err(error))),
        }
    }
}

/// The result of one check of the state.
enum Polled {
    Go,
    Record(Record),
    End(Result<()>),
}

impl Stream for Follower {
    type Item = Result<Record>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_record(context)
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("next_lsn", &self.next)
            .finish_non_exhaustive()
    }
}
