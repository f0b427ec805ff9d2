//! Removing old segments from an archive (`docs/archive.md`, "Pruning").

use tidewal::Lsn;

use crate::archive::Archive;
use crate::concurrent::InOrder;
use crate::error::{Error, Result};
use crate::manifest::Body;
use crate::manifest_reader::{ManifestReader, Named, RestoreTarget};
use crate::manifest_writer::read_entry;
use crate::objects::Objects;

/// The result of [`Archive::prune`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pruned {
    /// The LSN of the first record that is still in the archive. [`Lsn::ZERO`] if there is none.
    pub oldest: Lsn,
    /// Segments that were removed, and that the manifest still named.
    pub segments: u64,
    /// Objects that were removed: manifest entries and parts of segments.
    pub objects: u64,
}

/// Pruning.
impl Archive {
    /// Removes all segments before the one that holds `before`: a record, or the state at a time.
    /// [`RestoreTarget::End`] keeps only the newest segment.
    ///
    /// It first enters a checkpoint into the manifest, which says where readers begin, and then removes only
    /// objects before the checkpoint. The archive can therefore be restored at any moment. If the call fails or is
    /// interrupted, call it again, with the same `before` or a later one. If `before` is a time before the first
    /// time in the archive, nothing is removed. Archivers can keep working in the meantime.
    ///
    /// # Errors
    ///
    /// - [`Error::BeyondEnd`], [`Error::Empty`].
    /// - [`Error::Missing`], [`Error::Damaged`], [`Error::Unsupported`] if the manifest cannot be read. Nothing is
    ///   removed then.
    /// - [`Error::Store`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, only some of the objects may have been removed. Call it again.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidewal_archive::{Archive, RestoreTarget};
    /// # use tidewal::Wal;
    /// # use tidewal_archive::{ArchiveOptions, Archiver};
    ///
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = std::sync::Arc::new(object_store::memory::InMemory::new());
    /// let archive = Archive::new(store, "prod/orders");
    /// # let wal = Wal::open(dir.path()).await?;
    /// # let snapshot_lsn = wal.append("a record").await?;
    /// # wal.rotate().await?;
    /// # Archiver::start(&wal, &archive, ArchiveOptions::new())?.wait_caught_up().await?;
    /// // The service has a durable snapshot of everything up to this record.
    /// let pruned = archive.prune(RestoreTarget::Lsn(snapshot_lsn)).await?;
    /// println!("{} objects removed", pruned.objects);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn prune(&self, before: RestoreTarget) -> Result<Pruned> {
        let objects = &self.objects;
        loop {
            let manifest = ManifestReader::read(objects).await?;
            let Some(kept) = first_kept(&manifest, before)? else {
                return Ok(Pruned::default());
            };
            let oldest = kept.shipped.sealed.header.base;
            let segments = manifest.before(kept) as u64;
            let is_covered = manifest.checkpoint >= Some(kept.entry);
            if !is_covered && segments == 0 {
                return Ok(Pruned {
                    oldest,
                    ..Pruned::default()
                });
            }
            make_durable(objects, &manifest).await?;
            if !is_covered {
                match enter_checkpoint(objects, &manifest, kept).await {
                    // An archiver has created an entry in the meantime.
                    Err(Error::Fenced { .. }) => continue,
                    entered => entered?,
                }
            }
            return Ok(Pruned {
                oldest,
                segments,
                objects: sweep(objects, &manifest, kept).await?,
            });
        }
    }
}

/// The first segment that stays. `None` if the archive has no segment.
fn first_kept(manifest: &ManifestReader, before: RestoreTarget) -> Result<Option<&Named>> {
    let needed = match manifest.resolve(before) {
        Err(Error::TooEarly) => Lsn::ZERO,
        needed => needed?,
    };
    let mut segments = manifest.segments().iter();
    Ok(segments.find(|named| named.shipped.sealed.last >= needed))
}

/// Puts the newest entry once more. It may be the checkpoint of a call that failed, and be visible without being
/// durable. All entries before it are durable: otherwise it would not have been created.
async fn make_durable(objects: &Objects, manifest: &ManifestReader) -> Result<()> {
    let number = manifest.newest_entry();
    let (_, newest) = read_entry(objects, number).await?;
    objects.put_again(&objects.entry(number), newest).await
}

/// Enters a durable checkpoint: readers begin with the entry of `kept`.
async fn enter_checkpoint(
    objects: &Objects,
    manifest: &ManifestReader,
    kept: &Named,
) -> Result<()> {
    let writer = manifest.to_writer(NO_WRITER);
    let body = Body::Checkpoint {
        entry: kept.entry,
        first: kept.shipped.sealed.header.base,
    };
    let reached = writer.reached;
    writer.enter(objects, &body, reached).await.map(drop)
}

/// Removes the objects before a checkpoint: first the parts, then the entries that name them. Returns their
/// number.
async fn sweep(objects: &Objects, manifest: &ManifestReader, kept: &Named) -> Result<u64> {
    let first = kept.shipped.sealed.header.base;
    let parts = manifest.parts.iter().filter(|(_, base)| **base < first);
    let parts = parts.map(|(object, _)| object.clone());
    let entries = manifest.entries.range(..kept.entry);
    let entries = entries.map(|number| objects.entry(*number));
    let removals = parts.chain(entries);
    let removals = removals.map(|object| async move { objects.remove(&object).await });
    let mut removals = InOrder::new(removals, REMOVALS_AHEAD);
    let mut removed = 0;
    while let Some(outcome) = removals.next().await {
        outcome?;
        removed += 1;
    }
    Ok(removed)
}

/// The writer of a checkpoint: its bytes are the same whichever process enters it.
const NO_WRITER: u64 = 0;

/// How many objects are removed at the same time.
const REMOVALS_AHEAD: usize = 16;
