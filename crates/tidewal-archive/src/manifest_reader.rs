//! Reads a manifest, from the oldest entry that exists to the newest.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::time::SystemTime;

use bytes::Bytes;
use object_store::path::Path;
use tidewal::Lsn;

use crate::concurrent::InOrder;
use crate::entry_checks::{Link, begins_behind};
use crate::error::{Error, Result};
use crate::manifest::{Body, Entry, Shipped, TimePoint};
use crate::manifest_writer::{ManifestWriter, read_entry};
use crate::objects::Objects;
use crate::times::{millis, system_time};

/// The end of a restore.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RestoreTarget {
    /// Everything in the archive.
    End,

    /// Everything up to this record, without an atomic batch that ends after it.
    Lsn(Lsn),

    /// The state at this time: nothing that was not durable then, and everything that was durable one `time_step`
    /// earlier (`docs/archive.md`, "Time").
    Time(SystemTime),
}

/// What an archive holds.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Contents {
    /// The LSN of its first record. [`Lsn::ZERO`] if it has no record.
    pub oldest: Lsn,
    /// The LSN of its last record. [`Lsn::ZERO`] if it has no record.
    pub end: Lsn,
    /// Number of segments.
    pub segments: u64,
    /// Number of bytes in all segments.
    pub bytes: u64,
    /// Records between the first and the last that are not in the archive.
    pub gaps: Vec<RangeInclusive<Lsn>>,
    /// The earliest and the latest time that can be restored to.
    pub times: Option<RangeInclusive<SystemTime>>,
    /// Records up to this one were pruned, or the store has expired them. [`Lsn::ZERO`] if the archive still has its
    /// first entry and everything that it names.
    pub expired: Lsn,
}

/// An object of an archive that is damaged or missing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BadObject {
    /// The object's full name in the store.
    pub object: String,
    /// What is wrong with it.
    pub error: Error,
    /// The first record that cannot be restored because of it.
    pub first: Lsn,
    /// The last one. Below `first` if it is unknown whether any record is lost: an entry of the manifest may name no
    /// record, and nothing tells what the newest entries named.
    pub last: Lsn,
}

/// A segment, and the number of the entry that names it.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) entry: u64,
    pub(super) shipped: Shipped,
}

/// The contents of a manifest.
#[derive(Debug)]
pub(super) struct ManifestReader {
    segments: Vec<Named>,
    /// The index of the first segment that has all its parts. The segments before it have expired.
    begin: usize,
    gaps: Vec<RangeInclusive<Lsn>>,
    /// The numbers of the entries that exist.
    pub(super) entries: BTreeSet<u64>,
    pub(super) checkpoint: Option<u64>,
    /// The parts that exist, each with the first LSN of its segment.
    pub(super) parts: BTreeMap<Path, Lsn>,
    log_id: Option<u64>,
    /// The last entry that was read. `None` before the first one, and after one that could not be read.
    link: Option<Link>,
    /// The last LSN that the archive has reached, according to the entries so far.
    known: Lsn,
}

impl ManifestReader {
    /// Reads the whole manifest, and fails if anything is wrong with it.
    pub(super) async fn read(objects: &Objects) -> Result<Self> {
        let (manifest, bad) = Self::survey(objects).await?;
        match bad.into_iter().next() {
            None => Ok(manifest),
            Some(bad) => Err(bad.error),
        }
    }

    /// Reads as much of the manifest as possible, and lists the entries that cannot be read.
    pub(super) async fn survey(objects: &Objects) -> Result<(Self, Vec<BadObject>)> {
        let numbers = objects.entries().await?;
        if numbers.is_empty() {
            return Err(Error::Empty {
                prefix: objects.prefix(),
            });
        }
        let mut manifest = Self::new(objects.parts().await?, numbers);
        let mut bad = BadEntries::default();
        let entries = manifest.read_entries(objects).await?;
        let first = first_needed(&entries);
        // The first entry that is needed may have expired, but not while an older one remains.
        let has_older = entries.first().is_some_and(|(number, _)| *number < first);
        let mut before = has_older.then(|| first - 1);
        let needed = entries.into_iter().filter(|(number, _)| *number >= first);
        for (number, read) in needed {
            let missing = before.map_or(number, |before| before + 1)..number;
            manifest.note_missing(missing, objects, &mut bad)?;
            let added = read.and_then(|(entry, crc)| manifest.add(objects, entry, crc));
            match added {
                Ok(reached) => bad.close(reached),
                Err(error) => manifest.note_bad(number, objects, error, &mut bad)?,
            }
            before = Some(number);
        }
        manifest.begin = manifest.first_whole(objects);
        Ok((manifest, bad.found))
    }

    /// Reads every entry that exists, in order.
    async fn read_entries(&self, objects: &Objects) -> Result<Vec<(u64, ReadEntry)>> {
        let reads = self.entries.iter().map(|number| read(objects, *number));
        let mut reads = InOrder::new(reads, ENTRIES_AHEAD);
        let mut entries = Vec::new();
        for &number in &self.entries {
            let read = reads.next().await.expect("each entry is read");
            match read {
                Err(error) if !is_about_the_entry(&error) => return Err(error),
                read => entries.push((number, read)),
            }
        }
        Ok(entries)
    }

    fn new(parts: BTreeMap<Path, Lsn>, entries: BTreeSet<u64>) -> Self {
        Self {
            segments: Vec::new(),
            begin: 0,
            gaps: Vec::new(),
            entries,
            checkpoint: None,
            parts,
            log_id: None,
            link: None,
            known: Lsn::ZERO,
        }
    }

    /// Notes an entry that is damaged or missing. Passes other errors on.
    fn note_bad(
        &mut self,
        number: u64,
        objects: &Objects,
        error: Error,
        bad: &mut BadEntries,
    ) -> Result<()> {
        self.link = None;
        bad.open(number, objects, error, self.known)
    }

    /// Notes entries that are missing. An object with a high number may make it seem that there are very many, so
    /// not all of them are named.
    fn note_missing(
        &mut self,
        missing: Range<u64>,
        objects: &Objects,
        bad: &mut BadEntries,
    ) -> Result<()> {
        let named = MISSING_NAMED.saturating_sub(bad.found.len()).max(1);
        for number in missing.take(named) {
            let object = objects.entry(number).to_string();
            self.note_bad(number, objects, Error::Missing { object }, bad)?;
        }
        Ok(())
    }

    /// The number of the newest entry.
    pub(super) fn newest_entry(&self) -> u64 {
        *self.entries.last().expect("a manifest has an entry")
    }

    pub(super) fn contents(&self) -> Contents {
        let segments = self.segments();
        let oldest = self.oldest();
        let times = self.points().next().zip(self.points().last());
        let gaps = self.gaps.iter().filter(|gap| *gap.start() > oldest);
        Contents {
            oldest,
            end: self.end(),
            segments: segments.len() as u64,
            bytes: segments.iter().map(|named| named.shipped.sealed.end).sum(),
            gaps: gaps.cloned().collect(),
            times: times
                .and_then(|(first, last)| Some(system_time(first.time)?..=system_time(last.time)?)),
            expired: self.expired(),
        }
    }

    /// The segments in the archive, in the order of their LSNs.
    pub(super) fn segments(&self) -> &[Named] {
        &self.segments[self.begin..]
    }

    /// The bytes of a part, as many as the manifest says.
    ///
    /// A part that is not listed is missing, and is not asked for. In a directory, a file of another kind may have
    /// its name, such as a FIFO, and opening that may block forever.
    pub(super) async fn get_part(
        &self,
        objects: &Objects,
        segment: &Shipped,
        index: usize,
    ) -> Result<Bytes> {
        let object = objects.part(segment, index);
        match self.parts.contains_key(&object) {
            true => objects.get_part(segment, index).await,
            false => Err(Error::Missing {
                object: object.to_string(),
            }),
        }
    }

    /// How many segments before this one the manifest still names.
    pub(super) fn before(&self, kept: &Named) -> usize {
        let is_before = |named: &Named| named.entry < kept.entry;
        self.segments.partition_point(is_before)
    }

    /// The last LSN to restore.
    pub(super) fn resolve(&self, until: RestoreTarget) -> Result<Lsn> {
        match until {
            RestoreTarget::End => Ok(self.end()),
            RestoreTarget::Lsn(asked) if asked > self.end() => Err(Error::BeyondEnd {
                asked,
                end: self.end(),
            }),
            RestoreTarget::Lsn(asked) => Ok(asked),
            RestoreTarget::Time(time) => {
                let time = millis(time);
                let points = self.points().take_while(|point| point.time <= time);
                points
                    .last()
                    .map_or(Err(Error::TooEarly), |point| Ok(point.lsn))
            }
        }
    }

    /// The segments with the records `from` to `upto`, none of which may be missing.
    pub(super) fn select(&self, from: Option<Lsn>, upto: Lsn) -> Result<&[Named]> {
        let oldest = self.oldest();
        let from = from.unwrap_or(oldest);
        if oldest == Lsn::ZERO || from < oldest || upto < oldest {
            let asked = from.min(upto);
            return Err(Error::BeforeBeginning { asked, oldest });
        }
        if from > self.end() {
            return Err(Error::BeyondEnd {
                asked: from,
                end: self.end(),
            });
        }
        if from > upto {
            return Err(Error::EmptyRange { from, upto });
        }
        let is_missing = |gap: &&RangeInclusive<Lsn>| *gap.start() <= upto && *gap.end() >= from;
        if let Some(gap) = self.gaps.iter().find(is_missing) {
            let (first, last) = (*gap.start(), *gap.end());
            return Err(Error::Gap { first, last });
        }
        let segments = self.segments();
        let start = segments.partition_point(|named| named.shipped.sealed.last < from);
        let end = segments.partition_point(|named| named.shipped.sealed.header.base <= upto);
        Ok(&segments[start..end])
    }

    /// The time of the state that ends with `lsn`, if it is known: that of the last point at or before it.
    pub(super) fn time_of(&self, lsn: Lsn) -> Option<SystemTime> {
        let points = self.points().take_while(|point| point.lsn <= lsn);
        points.last().and_then(|point| system_time(point.time))
    }

    /// A writer that continues this manifest, which must have been read without an error.
    pub(super) fn to_writer(&self, writer: u64) -> ManifestWriter {
        let link = self.link.expect("the newest entry was read");
        ManifestWriter {
            log_id: self.log_id.expect("an entry was read"),
            writer,
            number: self.newest_entry(),
            crc: link.crc,
            reached: link.reached,
        }
    }

    fn oldest(&self) -> Lsn {
        let first = self.segments().first();
        first.map_or(Lsn::ZERO, |named| named.shipped.sealed.header.base)
    }

    fn end(&self) -> Lsn {
        let last = self.segments.last();
        last.map_or(Lsn::ZERO, |named| named.shipped.sealed.last)
    }

    fn expired(&self) -> Lsn {
        let is_whole = self.entries.first() == Some(&1) && self.begin == 0;
        let is_whole = is_whole && self.checkpoint.is_none();
        match self.segments().first() {
            _ if is_whole => Lsn::ZERO,
            Some(oldest) => oldest.shipped.sealed.header.base.prev(),
            None => self.known,
        }
    }

    fn points(&self) -> impl Iterator<Item = &TimePoint> {
        let segments = self.segments().iter();
        segments.flat_map(|named| &named.shipped.times)
    }

    /// A rule of the store removes the oldest objects first, and parts before the entry that names them. A missing
    /// part is therefore damage if any older segment is complete, or if it belongs to the newest segment.
    fn first_whole(&self, objects: &Objects) -> usize {
        let is_whole = |named: &Named| {
            let mut parts = 0..named.shipped.parts.len();
            parts.all(|index| {
                self.parts
                    .contains_key(&objects.part(&named.shipped, index))
            })
        };
        let newest = self.segments.len().saturating_sub(1);
        self.segments.iter().position(is_whole).unwrap_or(newest)
    }

    /// Adds the next entry if it follows those before it. Returns how far the archive went before it.
    fn add(&mut self, objects: &Objects, entry: Entry, crc: u32) -> Result<Lsn> {
        let damaged = |reason| Error::Damaged {
            object: objects.entry(entry.number).to_string(),
            reason,
        };
        let is_of_log = *self.log_id.get_or_insert(entry.log_id) == entry.log_id;
        let is_next = self.link.is_none_or(|link| link.crc == entry.previous);
        if !is_of_log || !is_next {
            return Err(damaged("it does not follow the entry before it"));
        }
        if !self.link.is_none_or(|link| link.leads_to(&entry)) {
            return Err(damaged(
                "what it names does not continue the entry before it",
            ));
        }
        let before = begins_behind(&entry);
        if before < self.known {
            return Err(damaged("it ends at a lower LSN than an entry before it"));
        }
        self.known = entry.reached.last;
        self.link = Some(Link {
            crc,
            reached: entry.reached,
        });
        match entry.body {
            Body::Claim => {}
            Body::Gap { first, last } => self.add_gap(first, last),
            Body::Segment(shipped) => self.segments.push(Named {
                entry: entry.number,
                shipped,
            }),
            Body::Checkpoint { entry, first } => self.begin_at(entry, first),
        }
        Ok(before)
    }

    /// Forgets everything before a checkpoint.
    fn begin_at(&mut self, entry: u64, first: Lsn) {
        self.checkpoint = self.checkpoint.max(Some(entry));
        self.segments.retain(|named| named.entry >= entry);
        self.gaps.retain(|gap| *gap.end() >= first);
    }

    /// Adds a gap. Consecutive gaps become one.
    fn add_gap(&mut self, first: Lsn, last: Lsn) {
        let before = self.gaps.pop_if(|gap| gap.end().next() == first);
        let start = before.map_or(first, |gap| *gap.start());
        self.gaps.push(start..=last);
    }
}

/// An entry and its checksum, or why it cannot be used.
type ReadEntry = Result<(Entry, u32)>;

/// The number of the first entry that is needed, according to the checkpoints.
///
/// Entries before it are what is left of a pruned archive, and are not examined. Not all of them have to be part of
/// it: an archiver that was replaced long ago may have created one where an entry was removed.
fn first_needed(entries: &[(u64, ReadEntry)]) -> u64 {
    let sound = entries.iter().filter_map(|(_, read)| read.as_ref().ok());
    let starts = sound.filter_map(|(entry, _)| match entry.body {
        Body::Checkpoint { entry, .. } => Some(entry),
        _ => None,
    });
    starts.max().unwrap_or(0)
}

/// Whether an error says something about the entry itself, and not about the store.
fn is_about_the_entry(error: &Error) -> bool {
    use Error::{Damaged, Missing, Unsupported};
    matches!(error, Damaged { .. } | Missing { .. } | Unsupported { .. })
}

async fn read(objects: &Objects, number: u64) -> ReadEntry {
    let (entry, bytes) = read_entry(objects, number).await?;
    Ok((entry, crc32fast::hash(&bytes)))
}

/// The entries that are damaged or missing, and the records that they may have named.
#[derive(Default)]
struct BadEntries {
    found: Vec<BadObject>,
    /// The number of entries whose records are bounded by a later entry.
    closed: usize,
}

impl BadEntries {
    /// Notes a bad entry of an archive that reached `known` before it. Passes other errors on.
    fn open(&mut self, number: u64, objects: &Objects, error: Error, known: Lsn) -> Result<()> {
        if !matches!(error, Error::Damaged { .. } | Error::Missing { .. }) {
            return Err(error);
        }
        let bad = BadObject {
            object: objects.entry(number).to_string(),
            error,
            first: known.next(),
            last: Lsn::ZERO,
        };
        self.found.push(bad);
        Ok(())
    }

    /// Bounds the bad entries so far: they named records up to `before` at most.
    fn close(&mut self, before: Lsn) {
        for bad in &mut self.found[self.closed..] {
            bad.last = before;
        }
        self.closed = self.found.len();
    }
}

/// How many entries are read at the same time.
const ENTRIES_AHEAD: usize = 16;

/// How many bad entries are listed before only the first one of each further hole is.
const MISSING_NAMED: usize = 10_000;
