//! Reading a log while it is open: a stream of its durable records.
//!
//! [`Follower`] takes records from the [`feed`](crate::feed) where that has them, and otherwise from the
//! task that reads finished segments ([`catch_up`]). The file that is being written is never opened.

mod catch_up;
mod list;
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

pub use crate::follow::list::{SegmentList, Segments};
pub use crate::follow::segments::{FinishedSegment, FinishedSegments, SegmentBytes};

impl Wal {
    /// Follows the log: a stream of its durable records from `from` on, which waits for more at the end.
    ///
    /// [`Lsn::ZERO`] stands for the oldest record that is kept. A record that is not kept, or lies more
    /// than one behind the last durable one, is the first item's error.
    ///
    /// Nothing keeps records for a follower that is behind: take a [`hold`](Self::hold) first where they
    /// are still needed. `docs/follow.md` in the repository says where
    /// records come from, and what a follower costs.
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

/// A log that is followed: a stream of its durable records, in order, each once.
/// [`Wal::follow`] makes one.
///
/// A record is delivered after the sync that made it durable, and never before. At the end of the log the
/// stream waits for more. It ends with the log: with `None` if the log was closed and every durable record
/// was delivered, otherwise with an error. After an error it has ended;
/// [`next_lsn`](Self::next_lsn) is where another follower goes on.
///
/// A follower does not keep the log open, and slows no append, whether it is polled or not. It works on
/// any executor.
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
    /// Nothing was looked at.
    Start,
    /// It is to be found.
    Between,
    Memory(Cursor),
    Files {
        chunks: Chunks,
        records: Records,
        /// What those take of the memory that there is for records.
        room: Option<OwnedSemaphorePermit>,
    },
    Ended,
}

impl Follower {
    /// The next record, once it is durable, or `None` once the log is closed.
    ///
    /// The same as the stream, for those who do not want to import its traits.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the next record was truncated; [`Error::BeyondEnd`] if the first one is
    /// too far ahead; [`Error::Corrupt`], [`Error::Unsupported`] and [`Error::Io`] as in recovery;
    /// [`Error::Closed`] if the log was closed before all records were delivered;
    /// [`Error::Poisoned`], [`Error::OutcomeUnknown`] and [`Error::Interrupted`] if it ended so. After an error
    /// the stream has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completes, no record is lost.
    pub async fn try_next(&mut self) -> Result<Option<Record>> {
        poll_fn(|context| self.poll_record(context))
            .await
            .transpose()
    }

    /// The LSN of the record that is delivered next. [`Lsn::ZERO`] before the first poll of a follower
    /// that was to begin with the oldest record.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    fn poll_record(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Record>>> {
        loop {
            let item = match ready!(self.poll_step(context)) {
                Step::Go => continue,
                Step::Record(record) => {
                    self.next = record.lsn.next();
                    Some(Ok(record))
                }
                Step::End(end) => {
                    self.state = State::Ended;
                    end.err().map(Err)
                }
            };
            return Poll::Ready(item);
        }
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        match &mut self.state {
            State::Start => Poll::Ready(self.check_start()),
            State::Between => self.poll_find(context),
            State::Memory(cursor) => match cursor.next() {
                Some(record) => Poll::Ready(Step::Record(record)),
                None => self.go_to(State::Between),
            },
            State::Files {
                chunks,
                records,
                room,
            } => {
                if let Some(record) = records.next() {
                    return Poll::Ready(Step::Record(record));
                }
                *room = None;
                match ready!(chunks.poll_recv(context)) {
                    Some(Ok(chunk)) => {
                        *records = chunk.records;
                        *room = Some(chunk.room);
                        Poll::Ready(Step::Go)
                    }
                    Some(Err(error)) => Poll::Ready(Step::End(Err(error))),
                    None => self.go_to(State::Between),
                }
            }
            State::Ended => Poll::Ready(Step::End(Ok(()))),
        }
    }

    fn go_to(&mut self, state: State) -> Poll<Step> {
        self.state = state;
        Poll::Ready(Step::Go)
    }

    fn check_start(&mut self) -> Step {
        let (asked, end) = (self.next, self.source.feed.durable_end());
        if asked > end.next() {
            return Step::End(Err(Error::BeyondEnd { asked, end }));
        }
        if asked == Lsn::ZERO {
            self.next = self.source.retention.oldest().unwrap_or(end.next());
        }
        self.state = State::Between;
        Step::Go
    }

    fn poll_find(&mut self, context: &Context<'_>) -> Poll<Step> {
        let found = ready!(self.registration.poll_find(self.next, context));
        match found {
            Found::Memory(cursor) => self.go_to(State::Memory(cursor)),
            Found::Files => match catch_up::start(self.source.clone(), self.next) {
                Ok(chunks) => self.go_to(State::Files {
                    chunks,
                    records: Records::none(),
                    room: None,
                }),
                Err(error) => Poll::Ready(Step::End(Err(error))),
            },
            Found::End(end) => Poll::Ready(Step::End(end)),
            Found::CutOff(error) => Poll::Ready(Step::End(Err(error))),
        }
    }
}

/// What one look at the state leads to.
enum Step {
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
