//! From an archive to a directory.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use object_store::ObjectStore;
use tokio::sync::{mpsc, oneshot};

use crate::archive::build::{self, Order};
use crate::archive::error::{Error, Result};
use crate::archive::history::{Contents, History, Until};
use crate::archive::manifest::Shipped;
use crate::archive::place::Place;
use crate::archive::read::part_of;
use crate::archive::walk::Walk;
use crate::format;
use crate::format::segment::{self, Header, Predecessor};
use crate::host::Host;
use crate::lsn::Lsn;
use crate::retention::Sealed;
use crate::storage::Location;
use crate::storage::disk::DiskPath;
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

/// Restores a log from an archive into a directory that is missing or empty.
///
/// When it returns, the directory is durable, and can be opened as any log. Every object, every record
/// and every joint was checked. If it fails or is cut short, the directory cannot be opened
/// ([`HeaderDamaged`](crate::Damage::HeaderDamaged)); remove it and start again.
///
/// A restored log that is appended to is another log from there on: archive it under another prefix,
/// unless it was restored to the very end ([`Until::End`]) and the old one is gone for good.
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
    until: Until,
) -> Result<Restored> {
    let target = Target::on_disk(dir.as_ref());
    target
        .restore(&Place::new(store, prefix), None, until)
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
    until: Until,
) -> Result<Restored> {
    let target = Target::on_disk(dir.as_ref());
    let place = Place::new(store, prefix);
    target.restore(&place, Some(from), until).await
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
    until: Until,
) -> Result<Restored> {
    let target = Target {
        location: disk.location(dir.as_ref()),
        host: Host::Runtime,
    };
    target
        .restore(&Place::new(store, prefix), from, until)
        .await
}

/// What an archive holds, by its manifest.
///
/// # Errors
///
/// [`Error::Empty`], [`Error::Missing`], [`Error::Damaged`], [`Error::Unsupported`], [`Error::Store`].
///
/// # Cancel safety
///
/// Cancel safe: it only reads.
pub async fn contents(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Contents> {
    let history = History::read(&Place::new(store, prefix)).await?;
    Ok(history.contents())
}

/// Reads all of an archive and checks every object, every record and every joint, as a restore would.
///
/// # Errors
///
/// Those of [`contents`]; they name the first object that is damaged or missing. A gap is no error:
/// it is in the [`Contents`].
///
/// # Cancel safety
///
/// Cancel safe: it only reads.
pub async fn verify(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Contents> {
    let place = Place::new(store, prefix);
    let history = History::read(&place).await?;
    for segment in &history.segments {
        let mut fetch = Fetch::new(&place, segment, segment.sealed.last);
        while fetch.next().await?.is_some() {}
        fetch.finish()?;
    }
    Ok(history.contents())
}

/// A directory that is to be restored into, and where the work on it is done.
struct Target {
    location: Location,
    host: Host,
}

impl Target {
    fn on_disk(path: &Path) -> Self {
        Self {
            location: DiskPath::location(path),
            host: Host::Thread,
        }
    }

    async fn restore(self, place: &Place, from: Option<Lsn>, until: Until) -> Result<Restored> {
        let history = History::read(place).await?;
        let upto = history.resolve(until)?;
        let segments = history.select(from, upto)?;
        let [.., newest] = segments else {
            unreachable!("records that are not missing are in some segment");
        };
        let newest = newest.sealed.header;
        let mut builder = Builder::start(self.location, self.host, newest)?;
        let mut restored = Restored {
            oldest: segments[0].sealed.header.base,
            end: Lsn::ZERO,
            time: None,
            segments: segments.len() as u64,
            bytes: 0,
        };
        let mut before = None;
        for segment in segments {
            let header = header_behind(before, &segment.sealed.header);
            let is_first = before.is_none() && header.predecessor.is_some();
            before = Some(segment.sealed);
            builder.send(Order::Begin { header, is_first }).await?;
            let mut fetch = Fetch::new(place, segment, upto);
            while let Some(bytes) = fetch.next().await? {
                restored.bytes += bytes.len() as u64;
                builder.send(Order::Write(bytes)).await?;
            }
            let (last, end) = fetch.finish()?;
            builder.send(Order::End { last, end }).await?;
            restored.end = last;
        }
        builder.finish().await?;
        restored.time = history.time_of(restored.end);
        Ok(restored)
    }
}

/// A segment that is being fetched, up to a record, part by part.
struct Fetch<'a> {
    place: &'a Place,
    segment: &'a Shipped,
    upto: Lsn,
    walk: Walk,
    /// The next part.
    index: usize,
}

impl<'a> Fetch<'a> {
    fn new(place: &'a Place, segment: &'a Shipped, upto: Lsn) -> Self {
        Self {
            place,
            segment,
            upto,
            walk: Walk::new(&segment.sealed.header, upto),
            index: 0,
        }
    }

    /// The next part, which was checked; `None` when what is wanted is there.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let wanted = self.segment.parts.get(self.index);
        let Some(part) = wanted.filter(|_| !self.walk.is_done()) else {
            return Ok(None);
        };
        let object = self.place.part(self.segment, self.index);
        let damaged = |reason| Error::Damaged {
            object: object.to_string(),
            reason,
        };
        let bytes = self.place.get(&object).await?;
        if part_of(&bytes) != *part {
            return Err(damaged("it does not match its length and checksum"));
        }
        let data = match self.index {
            0 => check_header(&bytes, &self.segment.sealed.header).map_err(damaged)?,
            _ => &bytes[..],
        };
        let walked = self.walk.feed(data);
        walked.map_err(|flaw| damaged(flaw.reason))?;
        self.index += 1;
        Ok(Some(bytes))
    }

    /// The last record that is wanted, and where it ends.
    fn finish(self) -> Result<(Lsn, u64)> {
        let (end, sealed) = (self.walk.end(), self.segment.sealed);
        if self.upto < sealed.last || end == (sealed.last, sealed.end) {
            return Ok(end);
        }
        let newest = self.segment.parts.len() - 1;
        Err(Error::Damaged {
            object: self.place.part(self.segment, newest).to_string(),
            reason: "it ends at another place than the manifest says",
        })
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

/// The records behind a header block, if that is the one of this segment.
fn check_header<'a>(bytes: &'a [u8], header: &Header) -> Result<&'a [u8], &'static str> {
    let (block, data) = bytes
        .split_at_checked(format::HEADER_BLOCK_LEN)
        .ok_or("it is shorter than a header block")?;
    let is_header = block.first_chunk().map(Header::decode) == Some(Ok(*header));
    let is_bare = block[segment::HEADER_LEN..].iter().all(|&byte| byte == 0);
    if is_header && is_bare {
        Ok(data)
    } else {
        Err("its header is another one than the manifest says")
    }
}

/// The task that writes the directory, as its master sees it.
struct Builder {
    orders: mpsc::Sender<Order>,
    done: oneshot::Receiver<Result<()>>,
}

impl Builder {
    fn start(location: Location, host: Host, newest: Header) -> Result<Self> {
        let (orders, inbox) = mpsc::channel(1);
        let (answer, done) = oneshot::channel();
        let path = location.path().to_owned();
        let job = async move {
            // Whoever dropped the receiver does not want to know.
            let _ = answer.send(build::run(location, newest, inbox).await);
        };
        let started = host.run("tidewal-restore", &path, job);
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
        let interrupted = || Err(crate::Error::Interrupted.into());
        let answer = (&mut self.done).await;
        answer.unwrap_or_else(|_| interrupted())
    }
}
