//! Finished segments as values. An archive consists of these.

use std::fmt;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, Result};
use crate::executor::race;
use crate::follow::source::Source;
use crate::format::names;
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::queue::Progress;
use crate::recovery::FinishedScan;
use crate::retention::{Finished, RetentionState, SegmentState};
use crate::wal::Wal;

impl Wal {
    /// Returns a stream of the finished segments, oldest first, starting with the one that holds
    /// `from`. After the existing ones it waits for each further segment to be finished.
    ///
    /// [`Lsn::ZERO`] means the oldest record that is kept. A segment is finished when the next one is opened:
    /// see [`rotate_if_older_than`](Self::rotate_if_older_than). Take a [`hold`](Self::hold) if segments must
    /// not be truncated before they are read.
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
    /// wal.append("a record").await?;
    /// wal.rotate().await?;
    ///
    /// let mut segments = wal.finished_segments(Lsn::ZERO);
    /// let segment = segments.try_next().await?.expect("the log is open");
    /// assert_eq!((segment.first(), segment.last()), (Lsn::FIRST, Lsn::FIRST));
    /// segment.verify().await?;
    /// let mut bytes = segment.bytes();
    /// while let Some(piece) = bytes.try_next().await? {
    ///     println!("{} bytes to be shipped", piece.len());
    /// }
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn finished_segments(&self, from: Lsn) -> FinishedSegments {
        let source = Arc::new(Source::of(self));
        let (news, progress) = (source.retention.subscribe(), self.progress());
        FinishedSegments {
            changed: changed(news.clone(), progress.clone()),
            news,
            progress,
            source,
            next: from,
            has_ended: false,
        }
    }
}

/// A stream of the finished segments of a log, oldest first, and of each further one once it is
/// finished. It ends with the log. Made by [`Wal::finished_segments`].
///
/// The stream does not keep the log open. It ends after its first error.
///
/// # Cancel safety
///
/// [`try_next`](Self::try_next) and the stream are cancel safe: no segment is missed.
#[must_use = "streams do nothing unless polled"]
pub struct FinishedSegments {
    source: Arc<Source>,
    news: watch::Receiver<RetentionState>,
    progress: watch::Receiver<Progress>,
    changed: Changed,
    /// The first record of the next segment.
    next: Lsn,
    has_ended: bool,
}

/// A wait for the next change, which owns the receivers that it waits on.
type Changed = Pin<Box<dyn Future<Output = ()> + Send>>;

fn changed(
    mut news: watch::Receiver<RetentionState>,
    mut progress: watch::Receiver<Progress>,
) -> Changed {
    Box::pin(async move {
        // The first sender lives as long as the retention, which the stream keeps alive. If the second one is
        // dropped, that is a change too.
        race(async { drop(news.changed().await) }, async {
            let _ = progress.wait_for(|progress| progress.end.is_some()).await;
        })
        .await;
    })
}

impl FinishedSegments {
    /// The next segment, once it is finished, or `None` once the log is closed and each finished segment
    /// was delivered.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the next segment was truncated. [`Error::BeyondEnd`] if the
    /// requested first record is more than one beyond the last durable one. [`Error::Closed`] if the log
    /// was closed before all finished segments were delivered. [`Error::Poisoned`],
    /// [`Error::OutcomeUnknown`] and [`Error::Interrupted`] if it ended with that. After an error the
    /// stream has ended.
    pub async fn try_next(&mut self) -> Result<Option<FinishedSegment>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context))
            .await
            .transpose()
    }

    /// The next item, if it is known already.
    fn look(&mut self) -> Option<Result<Option<Finished>>> {
        let end = self.source.feed.durable_end();
        let kept = self.news.borrow_and_update();
        let asked = self.next;
        if asked > end.next() {
            return Some(Err(Error::BeyondEnd { asked, end }));
        }
        let first = match asked {
            Lsn::ZERO => kept.oldest().unwrap_or(end.next()),
            asked => asked,
        };
        let (state, is_behind) = (kept.segment_of(first), kept.has_finished(first));
        drop(kept);
        match state {
            SegmentState::Closing => self.end(is_behind),
            SegmentState::Finished(segment) => Some(Ok(Some(segment))),
            SegmentState::Truncated { oldest } if first <= end => {
                Some(Err(Error::Truncated { asked, oldest }))
            }
            SegmentState::Open | SegmentState::Truncated { .. } => None,
        }
    }

    /// How the stream ends, once that is known of a log that is closing.
    fn end(&self, is_behind: bool) -> Option<Result<Option<Finished>>> {
        let end = self.progress.borrow().end.clone();
        match end {
            Some(Ok(())) if is_behind => Some(Err(Error::Closed)),
            Some(Ok(())) => Some(Ok(None)),
            Some(Err(error)) => Some(Err(error)),
            None if self.progress.has_changed().is_err() => Some(Err(Error::Interrupted)),
            None => None,
        }
    }
}

impl Stream for FinishedSegments {
    type Item = Result<FinishedSegment>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(next) = self.look() {
                let segment = next
                    .transpose()
                    .map(|next| next.map(|segment| FinishedSegment::new(&self.source, segment)));
                match &segment {
                    Some(Ok(segment)) => self.next = segment.last().next(),
                    Some(Err(_)) | None => self.has_ended = true,
                }
                return Poll::Ready(segment);
            }
            ready!(self.changed.as_mut().poll(context));
            self.changed = changed(self.news.clone(), self.progress.clone());
        }
    }
}

impl fmt::Debug for FinishedSegments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedSegments")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// A segment that is complete and durable: nothing more is appended to it.
///
/// It is a value and keeps neither the file nor the log. Once the segment was truncated or the log
/// has ended, it can no longer be read.
#[derive(Clone)]
pub struct FinishedSegment {
    source: Arc<Source>,
    segment: Finished,
}

impl FinishedSegment {
    pub(super) fn new(source: &Arc<Source>, segment: Finished) -> Self {
        let source = Arc::clone(source);
        Self { source, segment }
    }

    /// Its header, which names the segment before it.
    #[must_use]
    pub fn header(&self) -> Header {
        self.segment.header
    }

    /// Its file, for messages. Once the segment was truncated, the file may be gone.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.source.dir.path_of(&names::segment(self.first()))
    }

    /// The LSN of its first record.
    #[must_use]
    pub fn first(&self) -> Lsn {
        self.segment.header.base
    }

    /// The LSN of its last record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.segment.last
    }

    /// The number of bytes that [`bytes`](Self::bytes) returns: the header block and the records,
    /// without the unused space after them.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segment.end
    }

    /// A stream of its bytes from the beginning, in pieces of up to 1 MiB.
    ///
    /// The bytes are those of the file, and the same at each reading: the fields of the header
    /// block that change during the segment's life (the statement and the head mark) are zero here.
    /// Records are not checked: [`verify`](Self::verify) does that. A separate thread reads the
    /// file, at most two pieces ahead, and closes it when the segment is truncated or the log ends.
    pub fn bytes(&self) -> SegmentBytes {
        let (outbox, pieces) = mpsc::channel(1);
        let reading = read(self.clone(), outbox.clone());
        if let Err(error) = self.source.run(reading) {
            // There is room, because nothing was sent yet.
            let _ = outbox.try_send(Err(error));
        }
        SegmentBytes { pieces }
    }

    /// Reads the segment and checks every record, as recovery does.
    ///
    /// A separate thread reads the file. When the segment is truncated or the log closes, it stops
    /// after the current block of about 1 MiB, or after the current record or atomic batch if that
    /// is larger.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], [`Error::Unsupported`] and [`Error::Io`] as in recovery.
    /// [`Error::Truncated`] and [`Error::Closed`] if the segment can no longer be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it changes nothing.
    pub async fn verify(&self) -> Result<()> {
        let (mut done, verified) = oneshot::channel();
        let segment = self.clone();
        self.source.run(async move {
            let checked = segment.check(&mut done).await;
            // An error means that the caller was dropped.
            let _ = done.send(checked);
        })?;
        verified.await.unwrap_or(Err(Error::Interrupted))
    }

    /// Checks block by block, so that a log that closes does not wait for the rest.
    async fn check(&self, caller: &mut oneshot::Sender<Result<()>>) -> Result<()> {
        let Finished { header, last, end } = &self.segment;
        let source = &self.source;
        let Some(_pin) = source.pin(header.base) else {
            return Err(self.gone());
        };
        let mut scan = FinishedScan::open(&source.dir, header, *last, *end)?;
        let is_gone = |kept: &RetentionState| !kept.has(header.base);
        while scan.check_block()? {
            let pause = source.executor.yield_now();
            let go_on = source.unless(is_gone, caller.closed(), pause).await;
            go_on.ok_or_else(|| self.gone())?;
        }
        Ok(())
    }

    /// Why the segment can no longer be read.
    fn gone(&self) -> Error {
        match self.source.retention.segment_of(self.first()) {
            SegmentState::Truncated { oldest } => Error::Truncated {
                asked: self.first(),
                oldest,
            },
            _ => Error::Closed,
        }
    }
}

impl fmt::Debug for FinishedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedSegment")
            .field("first", &self.first())
            .field("last", &self.last())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

/// A stream of the bytes of a segment, in pieces. Made by [`FinishedSegment::bytes`].
///
/// # Cancel safety
///
/// [`try_next`](Self::try_next) and the stream of bytes are cancel safe: no piece is lost.
#[must_use = "streams do nothing unless polled"]
pub struct SegmentBytes {
    pieces: mpsc::Receiver<Result<Bytes>>,
}

impl SegmentBytes {
    /// The next piece, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read. [`Error::Truncated`] and [`Error::Closed`] if the
    /// segment was truncated or the log has ended.
    pub async fn try_next(&mut self) -> Result<Option<Bytes>> {
        self.pieces.recv().await.transpose()
    }
}

impl Stream for SegmentBytes {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_recv(context)
    }
}

impl fmt::Debug for SegmentBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentBytes").finish_non_exhaustive()
    }
}

/// Sends the bytes of a segment. Ends early if the receiver was dropped.
async fn read(segment: FinishedSegment, outbox: mpsc::Sender<Result<Bytes>>) {
    if let Err(error) = send_all(&segment, &outbox).await {
        // If this fails, the receiver was dropped.
        let _ = outbox.send(Err(error)).await;
    }
}

async fn send_all(segment: &FinishedSegment, outbox: &mpsc::Sender<Result<Bytes>>) -> Result<()> {
    let Finished { header, end, .. } = &segment.segment;
    let source = &segment.source;
    let Some(_pin) = source.pin(header.base) else {
        return Err(segment.gone());
    };
    let mut file = FinishedScan::open_bytes(&source.dir, header, *end)?;
    while let Some(piece) = file.next()? {
        let is_gone = |kept: &RetentionState| !kept.has(header.base);
        let sent = source.unless(is_gone, outbox.closed(), outbox.send(Ok(piece)));
        match sent.await {
            Some(Ok(())) => {}
            Some(Err(_)) => return Ok(()),
            None => return Err(segment.gone()),
        }
    }
    Ok(())
}
