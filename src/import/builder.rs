//! Building a log from the bytes of segments, on a thread of its own.

use std::fmt;
use std::path::Path;

use bytes::{Buf, Bytes};
use tokio::sync::{mpsc, oneshot};

use crate::environment::Environment;
use crate::error::{Error, IoFailure, Result};
use crate::format::DATA_OFFSET;
use crate::format::segment::Header;
use crate::import::target::Target;
use crate::lsn::Lsn;
use crate::storage::Location;
#[cfg(feature = "sim")]
use crate::storage::sim::SimDisk;

/// Builds a log in a directory from the bytes of its segments, oldest first.
///
/// For each segment: [`begin_segment`](Self::begin_segment), [`write`](Self::write) its bytes from the first
/// one on, [`end_segment`](Self::end_segment). Then [`finish`](Self::finish). The bytes are written as they
/// are: check them with a [`SegmentChecker`](super::SegmentChecker).
///
/// Until `finish` has returned, or if it is never called, the directory cannot be opened
/// ([`UnfinishedRestore`](Error::UnfinishedRestore)), and another builder may begin in it again. It is locked
/// meanwhile, and worked in by a thread of its own, named `tidewal-import`.
pub struct LogBuilder {
    orders: mpsc::Sender<Order>,
    done: oneshot::Receiver<Result<()>>,
}

enum Order {
    Begin(Header),
    Write(Bytes),
    End { last: Lsn, end: u64 },
    Finish,
}

impl LogBuilder {
    /// Begins in a directory that is missing or empty, or in which an earlier builder was cut short. Missing
    /// parents are created.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`]; [`Error::Locked`] if the directory is open; [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the directory may say that a restore is unfinished.
    pub async fn create(dir: impl AsRef<Path>) -> Result<Self> {
        Self::create_in(Environment::on_disk(dir.as_ref())).await
    }

    /// As [`create`](Self::create), on a simulated disk.
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
        let (orders, inbox) = mpsc::channel(1);
        let (answer, done) = oneshot::channel();
        let (begun, has_begun) = oneshot::channel();
        let Environment { location, executor } = environment;
        let path = location.path().to_owned();
        let job = async move {
            // A caller that dropped the receiver does not want the error.
            let _ = answer.send(build(location, begun, inbox).await);
        };
        executor.run("tidewal-import", &path, job)?;
        let mut builder = Self { orders, done };
        match has_begun.await {
            Ok(()) => Ok(builder),
            Err(_) => Err(builder.failure().await),
        }
    }

    /// Begins the next segment. If it names no predecessor, it gets the segment before it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it does not follow the segment before it; [`Error::Io`], and the errors of what
    /// was asked for before.
    ///
    /// # Cancel safety
    ///
    /// If the future of this or of another step is dropped before it completes, it may or may not have been
    /// asked for: begin again with another builder.
    pub async fn begin_segment(&mut self, header: Header) -> Result<()> {
        self.order(Order::Begin(header)).await
    }

    /// Writes the next bytes of the segment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and the errors of what was asked for before.
    ///
    /// # Cancel safety
    ///
    /// Like [`begin_segment`](Self::begin_segment).
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.order(Order::Write(bytes)).await
    }

    /// Ends the segment with the record `last`, which ends at the offset `end`. What was written behind that
    /// does not become a part of the log.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and the errors of what was asked for before.
    ///
    /// # Cancel safety
    ///
    /// Like [`begin_segment`](Self::begin_segment).
    pub async fn end_segment(&mut self, last: Lsn, end: u64) -> Result<()> {
        self.order(Order::End { last, end }).await
    }

    /// Makes everything durable, and then the directory a log. It opens as one that was closed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and the errors of what was asked for before.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, there may be a log all the same, or none.
    pub async fn finish(mut self) -> Result<()> {
        self.order(Order::Finish).await?;
        self.answer().await
    }

    async fn order(&mut self, order: Order) -> Result<()> {
        match self.orders.send(order).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Why no order is taken any more.
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

/// Carries out the orders. Without one to finish there is no log.
async fn build(
    location: Location,
    begun: oneshot::Sender<()>,
    mut orders: mpsc::Receiver<Order>,
) -> Result<()> {
    let mut target = Target::begin_again(&location).await?;
    // A caller that has gone gives no orders either.
    let _ = begun.send(());
    // Bytes that have come of the segment.
    let mut seen = 0;
    while let Some(order) = orders.recv().await {
        match order {
            Order::Begin(header) => {
                seen = 0;
                target.begin_segment(header).await?;
            }
            Order::Write(bytes) => write(&mut target, &mut seen, bytes)?,
            Order::End { last, end } => target.end_segment(last, end)?,
            Order::Finish => return target.finish().await,
        }
    }
    Err(Error::Interrupted)
}

/// Writes what is behind the header block, which is written in the end.
fn write(target: &mut Target, seen: &mut u64, mut bytes: Bytes) -> Result<(), IoFailure> {
    let of_block = DATA_OFFSET.saturating_sub(*seen);
    *seen += bytes.len() as u64;
    let of_block = usize::try_from(of_block).unwrap_or(usize::MAX);
    bytes.advance(of_block.min(bytes.len()));
    target.write(&bytes)
}
