//! Making an archive smaller (`docs/archive.md`, "Pruning").

use std::sync::Arc;

use object_store::ObjectStore;

use crate::archive::ahead::Ahead;
use crate::archive::error::{Error, Result};
use crate::archive::history::{History, Named, RestoreTarget};
use crate::archive::manifest::Body;
use crate::archive::manifest_writer::read_entry;
use crate::archive::objects::Objects;
use crate::lsn::Lsn;

/// What was pruned.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pruned {
    /// The LSN of the first record that the archive has now; [`Lsn::ZERO`] if it has none.
    pub oldest: Lsn,
    /// Segments that went, and that the manifest still named.
    pub segments: u64,
    /// Objects that were removed: entries of the manifest, and parts of segments.
    pub objects: u64,
}

/// Removes what is not needed to have the record, or the state of the time, that `before` names: all
/// segments before the one that holds it. [`RestoreTarget::End`] keeps the newest segment only.
///
/// First a checkpoint is entered into the manifest, which says where readers begin. Only what lies before
/// it is removed. So the archive can be restored from at every moment, and if this fails or is cut short
/// it can be called again, with the same `before` or a later one. Of a time before the archive's first one
/// nothing is removed. Archivers may be at work meanwhile.
///
/// # Errors
///
/// [`Error::BeyondEnd`]; [`Error::Empty`]; [`Error::Missing`], [`Error::Damaged`] and
/// [`Error::Unsupported`] if the manifest cannot be read: then nothing is removed; [`Error::Store`].
///
/// # Cancel safety
///
/// If the future is dropped before it completes, some of what may be removed is removed. Call it again.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tidewal::archive::{RestoreTarget, prune};
/// # use tidewal::Wal;
/// # use tidewal::archive::{ArchiveOptions, Archiver};
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Arc::new(object_store::memory::InMemory::new());
/// # let wal = Wal::open(dir.path()).await?;
/// # wal.append("a record").await?;
/// # wal.close().await?;
/// # let wal = Wal::open(dir.path()).await?;
/// # Archiver::start(&wal, store.clone(), "prod/orders", ArchiveOptions::new())?.wait_caught_up().await?;
/// # let snapshot_lsn = wal.durable_lsn();
/// // The service has a snapshot of everything up to this record, and keeps it.
/// let pruned = prune(store, "prod/orders", RestoreTarget::Lsn(snapshot_lsn)).await?;
/// println!("{} objects removed", pruned.objects);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub async fn prune(
    store: Arc<dyn ObjectStore>,
    prefix: &str,
    before: RestoreTarget,
) -> Result<Pruned> {
    let objects = Objects::new(store, prefix);
    loop {
        let history = History::read(&objects).await?;
        let Some(kept) = first_kept(&history, before)? else {
            return Ok(Pruned::default());
        };
        let oldest = kept.shipped.sealed.header.base;
        let segments = history.before(kept) as u64;
        let is_covered = history.checkpoint >= Some(kept.entry);
        if !is_covered && segments == 0 {
            return Ok(Pruned {
                oldest,
                ..Pruned::default()
            });
        }
        make_durable(&objects, &history).await?;
        if !is_covered {
            match enter_checkpoint(&objects, &history, kept).await {
                // An archiver was faster.
                Err(Error::Fenced { .. }) => continue,
                entered => entered?,
            }
        }
        return Ok(Pruned {
            oldest,
            segments,
            objects: sweep(&objects, &history, kept).await?,
        });
    }
}

/// The first segment that stays; `None` if there is no segment.
fn first_kept(history: &History, before: RestoreTarget) -> Result<Option<&Named>> {
    let needed = match history.resolve(before) {
        Err(Error::TooEarly) => Lsn::ZERO,
        needed => needed?,
    };
    let mut segments = history.segments().iter();
    Ok(segments.find(|named| named.shipped.sealed.last >= needed))
}

/// Puts the newest entry once more, which may be a checkpoint of a call that failed: it may be seen and
/// not be durable. All before it are durable, or it would not be there.
async fn make_durable(objects: &Objects, history: &History) -> Result<()> {
    let (_, newest) = read_entry(objects, history.number).await?;
    objects
        .put_again(&objects.entry(history.number), newest)
        .await
}

/// Enters, durably, that readers begin with the entry of `kept`.
async fn enter_checkpoint(objects: &Objects, history: &History, kept: &Named) -> Result<()> {
    let manifest = history.to_writer(NO_WRITER);
    let body = Body::Checkpoint {
        entry: kept.entry,
        first: kept.shipped.sealed.header.base,
    };
    let reached = manifest.reached;
    manifest.enter(objects, &body, reached).await.map(drop)
}

/// Removes the objects before a checkpoint: first the parts, then the entries that name them. Returns how
/// many.
async fn sweep(objects: &Objects, history: &History, kept: &Named) -> Result<u64> {
    let first = kept.shipped.sealed.header.base;
    let parts = history.parts.iter().filter(|(_, base)| **base < first);
    let parts = parts.map(|(object, _)| object.clone());
    let entries = (history.first_entry..kept.entry).map(|number| objects.entry(number));
    let removals = parts.chain(entries);
    let removals = removals.map(|object| async move { objects.remove(&object).await });
    let mut removals = Ahead::new(removals, REMOVALS_AHEAD);
    let mut removed = 0;
    while let Some(outcome) = removals.next().await {
        outcome?;
        removed += 1;
    }
    Ok(removed)
}

/// A checkpoint is the same, whichever process enters it.
const NO_WRITER: u64 = 0;

/// Objects that are removed at the same time.
const REMOVALS_AHEAD: usize = 16;
