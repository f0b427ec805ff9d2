//! Building a log from the bytes of segments, on a thread of its own.

use std::fmt;
use std::path::Path;

use bytes::{Buf, Bytes};
use tokio::sync::{mpsc, oneshot};

use crate::environment::Environment;
use crate::error::{Error, IoFailure, Result};
use crate::format::DATA_OFFSET;
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::storage::Location;
#[cfg(feature = "sim")]
use crate::storage::sim::SimDisk;
use crate::unfinished_dir::UnfinishedDir;

/// Builds a log in a directory from the bytes of its segments, oldest first.
///
/// For each segment, call [`begin_segment`](Self::begin_segment), then [`write`](Self::write) with
/// all its bytes in order, then [`end_segment`](Self::end_segment). After the last segment, call
/// [`finish`](Self::finish). The bytes are written without a check: check them with a
/// [`SegmentChecker`](super::SegmentChecker).
///
/// Until `finish` has returned, the directory cannot be opened as a log
/// ([`UnfinishedRestore`](Error::UnfinishedRestore)). If the builder is dropped before that,
/// another builder can start again in the directory. The builder keeps the directory locked and
/// does its I/O on its own thread, named `tidewal-import`.
pub struct LogBuilder {
    requests: mpsc::Sender<Request>,
    done: oneshot::Receiver<Result<()>>,
}

/// One step of the caller, for the thread that does the I/O.
enum Request {
    Begin(Header),
    Write(Bytes),
    End { last: Lsn, end: u64 },
    Finish,
}

impl LogBuilder {
    /// Begins in a directory that does not exist or is empty, or in which an earlier builder was
    /// interrupted. Missing parents are created.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`]. [`Error::Locked`] if the directory is open. [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the directory may be left marked as an unfinished restore.
    pub async fn create(dir: impl AsRef<Path>) -> Result<Self> {
        Self::create_in(Environment::on_disk(dir.as_ref())).await
    }

    /// Like [`create`](Self::create), on a simulated disk.
    ///
    /// # Errors
    ///
    /// The errors of [`create`](Self::create).
    ///
    /// # Cancel safety
    ///
    /// Like [`create`](Self::create).
    #[cfg(feature = "sim")]
    pub async fn create_on(disk: &SimDisk, dir: impl AsRef<Path>) -> Result<Self> {
        Self::create_in(Environment::simulated(disk, dir.as_ref())).await
    }

    async fn create_in(environment: Environment) -> Result<Self> {
        let (requests, inbox) = mpsc::channel(1);
        let (answer, done) = oneshot::channel();
        let (begun, has_begun) = oneshot::channel();
        let Environment { location, executor } = environment;
        let path = location.path().to_owned();
        let job = async move {
            // A caller that dropped the receiver does not want the error.
            let _ = answer.send(build(location, begun, inbox).await);
        };
        executor.run("tidewal-import", &path, job)?;
        let mut builder = Self { requests, done };
        match has_begun.await {
            Ok(()) => Ok(builder),
            Err(_) => Err(builder.failure().await),
        }
    }

    /// Begins the next segment. If its header names no predecessor, the header gets the previous
    /// segment as its predecessor.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it does not follow the previous segment, [`Error::Io`], and the errors of earlier
    /// calls.
    ///
    /// # Cancel safety
    ///
    /// If the future of this or of another step is dropped before it completes, the step may or may not be
    /// carried out: start again with another builder.
    pub async fn begin_segment(&mut self, header: Header) -> Result<()> {
        self.request(Request::Begin(header)).await
    }

    /// Writes the next bytes of the segment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and the errors of earlier calls.
    ///
    /// # Cancel safety
    ///
    /// Like [`begin_segment`](Self::begin_segment).
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.request(Request::Write(bytes)).await
    }

    /// Ends the segment with the record `last`, which ends at the offset `end`. Bytes that were
    /// written after `end` do not become part of the log.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and the errors of earlier calls.
    ///
    /// # Cancel safety
    ///
    /// Like [`begin_segment`](Self::begin_segment).
    pub async fn end_segment(&mut self, last: Lsn, end: u64) -> Result<()> {
        self.request(Request::End { last, end }).await
    }

    /// Makes everything durable, and then makes the directory a log. It opens as a log that was
    /// closed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and the errors of earlier calls.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the directory may or may not become a log.
    pub async fn finish(mut self) -> Result<()> {
        self.request(Request::Finish).await?;
        self.answer().await
    }

    async fn request(&mut self, request: Request) -> Result<()> {
        match self.requests.send(request).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// The error that ended the import thread.
    async fn failure(&mut self) -> Error {
        self.answer().await.err().unwrap_or(Error::Interrupted)
    }

    async fn answer(&mut self) -> Result<()> {
        let answer = (&mut self.done).await;
        answer.unwrap_or(Err(Error::Interrupted))
    }
}

impl fmt::Debug for LogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBuilder").finish_non_exhaustive()
    }
}

/// Carries out the requests. The directory becomes a log only by the request to finish.
async fn build(
    location: Location,
    begun: oneshot::Sender<()>,
    mut requests: mpsc::Receiver<Request>,
) -> Result<()> {
    let mut unfinished = UnfinishedDir::begin_again(&location).await?;
    // The requests also end if the caller is dropped.
    let _ = begun.send(());
    // The bytes of the segment received so far.
    let mut seen = 0;
    while let Some(request) = requests.recv().await {
        match request {
            Request::Begin(header) => {
                seen = 0;
                unfinished.begin_segment(header).await?;
            }
            Request::Write(bytes) => write(&mut unfinished, &mut seen, bytes)?,
            Request::End { last, end } => unfinished.end_segment(last, end)?,
            Request::Finish => return unfinished.finish().await,
        }
    }
    Err(Error::Interrupted)
}

/// Writes the bytes after the header block. The header block is written last.
fn write(
    unfinished: &mut UnfinishedDir,
    seen: &mut u64,
    mut bytes: Bytes,
) -> Result<(), IoFailure> {
    let of_block = DATA_OFFSET.saturating_sub(*seen);
    *seen += bytes.len() as u64;
    let of_block = usize::try_from(of_block).unwrap_or(usize::MAX);
    bytes.advance(of_block.min(bytes.len()));
    unfinished.write(&bytes)
}
