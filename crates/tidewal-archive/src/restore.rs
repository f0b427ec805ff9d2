//! Restoring a directory from an archive.

use std::future::Future;
use std::path::Path;
use std::time::SystemTime;

use tidewal::Lsn;
use tidewal::import::LogBuilder;
#[cfg(feature = "sim")]
use tidewal::sim::SimDisk;

use crate::archive::Archive;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::manifest::Shipped;
use crate::manifest_reader::{ManifestReader, RestoreTarget};
use crate::segment_check::SegmentCheck;

/// The result of a restore.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Restored {
    /// The LSN of the first record in the directory.
    pub oldest: Lsn,
    /// The LSN of the last record in the directory. Below `oldest` if the directory has no record.
    pub end: Lsn,
    /// A time at which everything up to `end` was durable: the latest time in the archive of a record at or before
    /// `end`. `None` if the archive has no such time.
    pub time: Option<SystemTime>,
    /// Number of segments written.
    pub segments: u64,
    /// Number of bytes read from the store.
    pub bytes: u64,
}

/// Restoring.
impl Archive {
    /// Restores the log into a directory that is missing or empty, or in which an earlier restore was interrupted.
    ///
    /// When it returns, the directory is durable and can be opened like any log. Every object, every record and
    /// every link between segments was checked. If it fails or is interrupted, the directory cannot be opened
    /// ([`UnfinishedRestore`](tidewal::Error::UnfinishedRestore)): restore into it again.
    ///
    /// Once a restored log is appended to, it is a different log. Archive it under another prefix, unless it was
    /// restored to the very end ([`RestoreTarget::End`]) and the old log will never be used again.
    ///
    /// # Errors
    ///
    /// - [`Error::NotEmpty`] if the directory is not empty, [`Error::Log`] if it could not be written or is open.
    /// - [`Error::Empty`] if there is no archive.
    /// - [`Error::BeyondEnd`], [`Error::BeforeBeginning`], [`Error::TooEarly`] if the target is not in the archive.
    /// - [`Error::Gap`], [`Error::Missing`], [`Error::Damaged`], [`Error::Unsupported`] if something is wrong with
    ///   the archive.
    /// - [`Error::Store`] if a call of the store failed. No call is retried here, because stores commonly retry
    ///   themselves.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the directory cannot be opened, or it is still missing or empty
    /// because nothing was written yet.
    ///
    /// # Examples
    ///
    /// See [the crate](crate).
    pub async fn restore(&self, dir: impl AsRef<Path>, target: RestoreTarget) -> Result<Restored> {
        let builder = LogBuilder::create(dir);
        self.restore_with(builder, None, target).await
    }

    /// Like [`restore`](Self::restore), but leaves out the segments that end before `from`: for services that have
    /// a snapshot of everything before it.
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore), and [`Error::EmptyRange`] if `from` is after the target.
    ///
    /// # Cancel safety
    ///
    /// The same as of [`restore`](Self::restore).
    pub async fn restore_from(
        &self,
        dir: impl AsRef<Path>,
        from: Lsn,
        target: RestoreTarget,
    ) -> Result<Restored> {
        let builder = LogBuilder::create(dir);
        self.restore_with(builder, Some(from), target).await
    }

    /// Like [`restore`](Self::restore), or like [`restore_from`](Self::restore_from) if `from` is given, onto a
    /// simulated disk.
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore).
    ///
    /// # Cancel safety
    ///
    /// The same as of [`restore`](Self::restore).
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

    /// Decides what to restore before it touches the directory.
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
            let copied = self
                .copy(&manifest, &named.shipped, upto, &mut builder)
                .await?;
            restored.end = copied.last;
            restored.bytes += copied.bytes;
        }
        builder.finish().await?;
        restored.time = manifest.time_of(restored.end);
        Ok(restored)
    }

    /// Copies the records of a segment up to `upto`. Each part is checked before it is copied.
    async fn copy(
        &self,
        manifest: &ManifestReader,
        segment: &Shipped,
        upto: Lsn,
        builder: &mut LogBuilder,
    ) -> Result<Copied> {
        builder.begin_segment(segment.sealed.header).await?;
        let mut check = SegmentCheck::new(&self.objects, segment, upto);
        let mut copied = 0;
        for index in 0..segment.parts.len() {
            if check.is_done() {
                break;
            }
            let bytes = manifest.get_part(&self.objects, segment, index).await?;
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

/// The result of copying a segment.
struct Copied {
    last: Lsn,
    bytes: u64,
}
