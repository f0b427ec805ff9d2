//! What an archive holds, and whether it is sound.

use std::collections::BTreeSet;

use crate::archive::Archive;
use crate::concurrent::InOrder;
use crate::error::{Error, Result};
use crate::manifest::Shipped;
use crate::manifest_reader::{BadObject, Contents, ManifestReader};
use crate::newest::LISTED_MAX;
use crate::objects::Objects;
use crate::segment_check::SegmentCheck;

/// What [`Archive::verify`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// What the archive holds according to its manifest.
    pub contents: Contents,
    /// Every object that is damaged or missing: entries of the manifest first, then parts of segments.
    pub bad: Vec<BadObject>,
}

impl Verified {
    /// Whether no object is damaged or missing. Gaps, pruned records and expired records are not damage: the
    /// [`Contents`] list them.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.bad.is_empty()
    }
}

/// Inspecting an archive.
impl Archive {
    /// What the archive holds, according to its manifest and the names of its objects.
    ///
    /// Reads every entry of the manifest, up to 16 at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::Missing`], [`Error::Damaged`], [`Error::Unsupported`], [`Error::Store`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn contents(&self) -> Result<Contents> {
        let manifest = ManifestReader::read(&self.objects).await?;
        Ok(manifest.contents())
    }

    /// Checks that none of the newest 1,000 entries of the manifest is missing. Without a manifest it succeeds.
    ///
    /// If no entry is missing, it costs a few listings, however long the manifest is. [`contents`](Self::contents)
    /// and [`verify`](Self::verify) check all entries.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] names the first entry that is needed and missing. Otherwise the errors of
    /// [`contents`](Self::contents).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn check_manifest(&self) -> Result<()> {
        let (entries, is_complete) = self.objects.some_entries(0).await?;
        if is_complete && is_dense(&entries) {
            return Ok(());
        }
        let newest = self.objects.newest_entry().await?;
        let recent = self
            .objects
            .entries_after(newest.saturating_sub(LISTED_MAX));
        // Entries that were created in the meantime do not make up for missing ones.
        let recent = recent.await?.range(..=newest).count() as u64;
        match recent >= newest.min(LISTED_MAX) {
            true => Ok(()),
            false => self.check_all_entries().await,
        }
    }

    /// Entries are missing. They may have expired, or been pruned, as a checkpoint says.
    async fn check_all_entries(&self) -> Result<()> {
        match is_dense(&self.objects.entries().await?) {
            true => Ok(()),
            false => ManifestReader::read(&self.objects).await.map(drop),
        }
    }

    /// Reads all of the archive and checks every object, every record and every link between segments, as a restore
    /// would.
    ///
    /// Reads up to three parts of segments at a time. A part is 8 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::Unsupported`], [`Error::Store`]. A damaged or missing object is not an error of
    /// this call. [`Verified::bad`] lists it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn verify(&self) -> Result<Verified> {
        let (manifest, mut bad) = ManifestReader::survey(&self.objects).await?;
        bad.extend(bad_parts(&self.objects, &manifest).await?);
        Ok(Verified {
            contents: manifest.contents(),
            bad,
        })
    }
}

/// Whether no number between the first and the last one is missing.
fn is_dense(numbers: &BTreeSet<u64>) -> bool {
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) => last - first == numbers.len() as u64 - 1,
        _ => true,
    }
}

/// Every part of every segment that is bad.
async fn bad_parts(objects: &Objects, manifest: &ManifestReader) -> Result<Vec<BadObject>> {
    let segments = manifest.segments().iter().map(|named| &named.shipped);
    let parts = segments.clone().flat_map(|segment| {
        let parts = 0..segment.parts.len();
        parts.map(move |index| manifest.get_part(objects, segment, index))
    });
    let mut parts = InOrder::new(parts, PARTS_AHEAD);
    let mut bad = Vec::new();
    for segment in segments {
        let mut check = SegmentCheck::new(objects, segment, segment.sealed.last);
        let found = bad.len();
        for index in 0..segment.parts.len() {
            let read = parts.next().await.expect("each part is read");
            let checked = read.and_then(|bytes| match bad.len() == found {
                true => check.take(index, &bytes),
                false => check.check_sum(index, &bytes),
            });
            bad.extend(bad_part(segment, checked)?);
        }
        if bad.len() == found {
            bad.extend(bad_part(segment, check.finish().map(drop))?);
        }
    }
    Ok(bad)
}

/// The part, if its check found it bad. Passes other errors on.
fn bad_part(segment: &Shipped, checked: Result<()>) -> Result<Option<BadObject>> {
    let object = match &checked {
        Ok(()) => return Ok(None),
        Err(Error::Damaged { object, .. } | Error::Missing { object }) => object.clone(),
        Err(error) => return Err(error.clone()),
    };
    Ok(checked.err().map(|error| BadObject {
        object,
        error,
        first: segment.sealed.header.base,
        last: segment.sealed.last,
    }))
}

/// How many parts are read at the same time.
const PARTS_AHEAD: usize = 3;
