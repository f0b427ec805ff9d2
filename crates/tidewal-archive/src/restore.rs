//! From an archive to a directory.

use std::future::Future;
use std::path::Path;
use std::time::SystemTime;

use tidewal::Lsn;
use tidewal::import::LogBuilder;
#[cfg(feature = "sim")]
use tidewal::sim::SimDisk;

use crate::archive::Archive;
use crate::check::SegmentCheck;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::manifest::Shipped;
use crate::manifest_reader::{ManifestReader, RestoreTarget};

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

/// Restoring.
impl Archive {
    /// Restores the log into a directory that is missing or empty, or in which an earlier restore was cut short.
    ///
    /// When it returns, the directory is durable, and can be opened as any log. Every object, every record
    /// and every joint was checked. If it fails or is cut short, the directory cannot be opened
    /// ([`UnfinishedRestore`](tidewal::Error::UnfinishedRestore)): restore into it again.
    ///
    /// A restored log that is appended to is another log from there on: archive it under another prefix,
    /// unless it was restored to the very end ([`RestoreTarget::End`]) and the old one is gone for good.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`]; [`Error::Empty`]; [`Error::BeyondEnd`], [`Error::BeforeBeginning`],
    /// [`Error::TooEarly`] for a target that the archive does not reach; [`Error::Gap`],
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
    /// See [the crate](crate).
    pub async fn restore(&self, dir: impl AsRef<Path>, target: RestoreTarget) -> Result<Restored> {
        let builder = LogBuilder::create(dir);
        self.restore_with(builder, None, target).await
    }

    /// As [`restore`](Self::restore), but without the segments that end before `from`: for services that have a
    /// snapshot of everything before it.
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore); [`Error::EmptyRange`] if `from` lies behind the end that was asked
    /// for.
    ///
    /// # Cancel safety
    ///
    /// That of [`restore`](Self::restore).
    pub async fn restore_from(
        &self,
        dir: impl AsRef<Path>,
        from: Lsn,
        target: RestoreTarget,
    ) -> Result<Restored> {
        let builder = LogBuilder::create(dir);
        self.restore_with(builder, Some(from), target).await
    }

    /// As [`restore`](Self::restore) (or [`restore_from`](Self::restore_from), if there is a `from`), onto a
    /// simulated disk.
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore).
    ///
    /// # Cancel safety
    ///
    /// That of [`restore`](Self::restore).
    #[cfg(feature = "sim")]
    pub async fn restore_on(
        &self,
        disk: &SimDisk,
        dir: impl AsRef<Path>,
        from: Option<Lsn>,
        target: RestoreTarget,
    ) -> Result<Restored> {
        let builder = LogBuilder::create_on(disk, dir);
        self.restore_with(builder, from, target).await
    }

    /// The directory is not touched before it is known what to restore.
    async fn restore_with(
        &self,
        builder: impl Future<Output = tidewal::Result<LogBuilder>>,
        from: Option<Lsn>,
        target: RestoreTarget,
    ) -> Result<Restored> {
        let manifest = ManifestReader::read(&self.objects).await?;
        let upto = manifest.resolve(target)?;
        let segments = manifest.select(from, upto)?;
        let mut builder = builder.await?;
        let mut restored = Restored {
            oldest: segments[0].shipped.sealed.header.base,
            end: Lsn::ZERO,
            time: None,
            segments: segments.len() as u64,
            bytes: 0,
        };
        for named in segments {
            let copied = self.copy(&named.shipped, upto, &mut builder).await?;
            restored.end = copied.last;
            restored.bytes += copied.bytes;
        }
        builder.finish().await?;
        restored.time = manifest.time_of(restored.end);
        Ok(restored)
    }

    /// Copies the records of a segment up to `upto`, each part after it was checked.
    async fn copy(&self, segment: &Shipped, upto: Lsn, builder: &mut LogBuilder) -> Result<Copied> {
        builder.begin_segment(segment.sealed.header).await?;
        let mut check = SegmentCheck::new(&self.objects, segment, upto);
        let mut copied = 0;
        for index in 0..segment.parts.len() {
            if check.is_done() {
                break;
            }
            let bytes = self.objects.get_part(segment, index).await?;
            check.take(index, &bytes)?;
            copied += bytes.len() as u64;
            builder.write(bytes).await?;
        }
        let (last, end) = check.finish()?;
        builder.end_segment(last, end).await?;
        Ok(Copied {
            last,
            bytes: copied,
        })
    }
}

/// What was copied of a segment.
struct Copied {
    last: Lsn,
    bytes: u64,
}
