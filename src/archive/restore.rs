//! From an archive to a directory.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use object_store::ObjectStore;
use tokio::sync::{mpsc, oneshot};

use crate::archive::build::{self, Order};
use crate::archive::check::SegmentCheck;
use crate::archive::error::{Error, Result};
use crate::archive::history::{History, RestoreTarget};
use crate::archive::objects::Objects;
use crate::environment::Environment;
use crate::format::segment::{Header, Predecessor};
use crate::lsn::Lsn;
use crate::retention::Sealed;
#[cfg(feature = "sim")]
use crate::storage::sim::SimDisk;

/// What was restored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Restored {
    /// The LSN of the first record in the directory.
    pub oldest: Lsn,
    /// The LSN of the last one; below `oldest` if there is none.
    pub end: Lsn,
    /// A time at which everything up to `end` was durable: the latest one that the archive knows of a
    /// record not after `end`. `None` if it knows of none.
    pub time: Option<SystemTime>,
    /// Segments written.
    pub segments: u64,
    /// Bytes read from the store.
    pub bytes: u64,
}

/// Restores a log from an archive into a directory that is missing or empty, or in which an earlier
/// restore was cut short.
///
/// When it returns, the directory is durable, and can be opened as any log. Every object, every record
/// and every joint was checked. If it fails or is cut short, the directory cannot be opened
/// ([`UnfinishedRestore`](crate::Error::UnfinishedRestore)): restore into it again.
///
/// A restored log that is appended to is another log from there on: archive it under another prefix,
/// unless it was restored to the very end ([`RestoreTarget::End`]) and the old one is gone for good.
///
/// # Errors
///
/// [`Error::NotEmpty`]; [`Error::Empty`]; [`Error::BeyondEnd`], [`Error::BeforeBeginning`],
/// [`Error::TooEarly`] for an `until` that the archive does not reach; [`Error::Gap`],
/// [`Error::Missing`], [`Error::Damaged`], [`Error::Unsupported`] for what is wrong with it;
/// [`Error::Store`]; [`Error::Log`] if the directory could not be written, or is open. Nothing is tried
/// twice: stores commonly do that themselves.
///
/// # Cancel safety
///
/// If the future is dropped before it completes, the directory is one that cannot be opened, or is
/// missing or empty if nothing was written yet.
///
/// # Examples
///
/// See [`Archiver`](super::Archiver).
pub async fn restore(
    store: Arc<dyn ObjectStore>,
    prefix: &str,
    dir: impl AsRef<Path>,
    until: RestoreTarget,
) -> Result<Restored> {
    let target = Target(Environment::on_disk(dir.as_ref()));
    target
        .restore(&Objects::new(store, prefix), None, until)
        .await
}

/// As [`restore`], but without the segments that end before `from`: for services that have a snapshot
/// of everything before it.
///
/// # Errors
///
/// Those of [`restore`]; [`Error::EmptyRange`] if `from` lies behind the end that was asked for.
///
/// # Cancel safety
///
/// That of [`restore`].
pub async fn restore_from(
    store: Arc<dyn ObjectStore>,
    prefix: &str,
    dir: impl AsRef<Path>,
    from: Lsn,
    until: RestoreTarget,
) -> Result<Restored> {
    let target = Target(Environment::on_disk(dir.as_ref()));
    let objects = Objects::new(store, prefix);
    target.restore(&objects, Some(from), until).await
}

/// As [`restore`] (or [`restore_from`], if there is a `from`), onto a simulated disk.
///
/// # Errors
///
/// Those of [`restore`].
///
/// # Cancel safety
///
/// That of [`restore`].
#[cfg(feature = "sim")]
pub async fn restore_on(
    disk: &SimDisk,
    store: Arc<dyn ObjectStore>,
    prefix: &str,
    dir: impl AsRef<Path>,
    from: Option<Lsn>,
    until: RestoreTarget,
) -> Result<Restored> {
    let target = Target(Environment::simulated(disk, dir.as_ref()));
    target
        .restore(&Objects::new(store, prefix), from, until)
        .await
}

/// A directory that is to be restored into.
struct Target(Environment);

impl Target {
    async fn restore(
        self,
        objects: &Objects,
        from: Option<Lsn>,
        until: RestoreTarget,
    ) -> Result<Restored> {
        let history = History::read(objects).await?;
        let upto = history.resolve(until)?;
        let segments = history.select(from, upto)?;
        let [.., newest] = segments else {
            unreachable!("records that are not missing are in some segment");
        };
        let newest = newest.shipped.sealed.header;
        let mut builder = Builder::start(self.0, newest)?;
        let mut restored = Restored {
            oldest: segments[0].shipped.sealed.header.base,
            end: Lsn::ZERO,
            time: None,
            segments: segments.len() as u64,
            bytes: 0,
        };
        let mut before = None;
        for named in segments {
            let segment = &named.shipped;
            let header = header_behind(before, &segment.sealed.header);
            let is_first = before.is_none() && header.predecessor.is_some();
            before = Some(segment.sealed);
            builder.send(Order::Begin { header, is_first }).await?;
            let mut check = SegmentCheck::new(objects, segment, upto);
            for index in 0..segment.parts.len() {
                if check.is_done() {
                    break;
                }
                let bytes = objects.get_part(segment, index).await?;
                check.take(index, &bytes)?;
                restored.bytes += bytes.len() as u64;
                builder.send(Order::Write(bytes)).await?;
            }
            let (last, end) = check.finish()?;
            builder.send(Order::End { last, end }).await?;
            restored.end = last;
        }
        builder.finish().await?;
        restored.time = history.time_of(restored.end);
        Ok(restored)
    }
}

/// The header that a segment gets behind another one. One that names no predecessor although the log has
/// one would be taken for the log's first, and those before it for leftovers.
fn header_behind(before: Option<Sealed>, archived: &Header) -> Header {
    let joint = before.map(|before| Predecessor {
        salt: before.header.salt,
        end: before.end,
    });
    Header {
        predecessor: archived.predecessor.or(joint),
        ..*archived
    }
}

/// The task that writes the directory, as its master sees it.
struct Builder {
    orders: mpsc::Sender<Order>,
    done: oneshot::Receiver<Result<()>>,
}

impl Builder {
    fn start(environment: Environment, newest: Header) -> Result<Self> {
        let (orders, inbox) = mpsc::channel(1);
        let (answer, done) = oneshot::channel();
        let Environment { location, executor } = environment;
        let path = location.path().to_owned();
        let job = async move {
            // A caller that dropped the receiver does not want the error.
            let _ = answer.send(build::run(location, newest, inbox).await);
        };
        let started = executor.run("tidewal-restore", &path, job);
        started.map_err(crate::Error::from)?;
        Ok(Self { orders, done })
    }

    /// Gives an order, or says why the builder takes none any more.
    async fn send(&mut self, order: Order) -> Result<()> {
        match self.orders.send(order).await {
            Ok(()) => Ok(()),
            Err(_) => self.answer().await,
        }
    }

    async fn finish(mut self) -> Result<()> {
        self.send(Order::Finish).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<()> {
        let interrupted = || Err(Error::from(crate::Error::Interrupted));
        let answer = (&mut self.done).await;
        answer.unwrap_or_else(|_| interrupted())
    }
}
