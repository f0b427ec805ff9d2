//! Pages that the medium cannot read, with and without a copy in the system's cache (promise P4).
//!
//! Reading delivers everything before such a page, then an error that names it. If the page is
//! still cached, opening the log for appending loses nothing, however the opening ends.

use std::io::ErrorKind;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{CorruptionKind, Error, Record, Wal, WalOptions};

use crate::harness::damage::{STOPS, Sound, Stop};
use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

/// One record in its file.
struct Place {
    /// The last record of its unit is followed by this many bytes of the file.
    end: u64,
    is_last_of_unit: bool,
}

/// One segment of a sound log.
struct Segment {
    path: String,
    base: u64,
    records: Vec<Place>,
    is_newest: bool,
}

impl Segment {
    /// Where its last record ends.
    fn end(&self) -> u64 {
        self.records.last().map_or(DATA_OFFSET, |place| place.end)
    }

    /// How many of its records are in complete units before a page.
    fn whole_before(&self, page: u64) -> u64 {
        let before = self.records.iter().take_while(|place| place.end <= page);
        let count = before.clone().count();
        let is_torn = before.last().is_some_and(|place| !place.is_last_of_unit);
        let parts = self.records[..count].iter().rev();
        let torn = parts.take_while(|place| !place.is_last_of_unit).count();
        (count - if is_torn { torn } else { 0 }) as u64
    }

    /// Whether a reader needs a page: one with records, or with the header of the next one.
    fn needs(&self, page: u64, stop: Stop) -> bool {
        let looks_further = self.is_newest && stop != Stop::Clean;
        let end = self.end() + if looks_further { HEADER_LEN } else { 0 };
        page < end || (page == DATA_OFFSET && looks_further)
    }
}

/// The positions of the records, from the lengths in their headers (docs/format.md).
fn segments(sound: &Sound) -> Vec<Segment> {
    let paths = sound.segments();
    let number = |path: &str| path[DIR.len() + 1..][..20].parse::<u64>().unwrap();
    let bases: Vec<_> = paths.iter().map(|path| number(path)).collect();
    let last = sound.records.last().unwrap().lsn.get();
    let mut segments = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let bytes = sound.disk.read(path).unwrap();
        let next = bases.get(index + 1).copied().unwrap_or(last + 1);
        let mut end = DATA_OFFSET;
        let mut records = Vec::new();
        for _ in bases[index]..next {
            let header = &bytes[usize::try_from(end).unwrap()..];
            let len = u32::from_le_bytes(header[8..12].try_into().unwrap());
            end += HEADER_LEN + u64::from(len);
            records.push(Place {
                end,
                is_last_of_unit: header[12] == 1,
            });
        }
        segments.push(Segment {
            path: path.clone(),
            base: bases[index],
            records,
            is_newest: index + 1 == paths.len(),
        });
    }
    segments
}

/// Returns the records that can be read, and the error that ended reading.
async fn read_on(disk: &SimDisk) -> (Vec<Record>, Option<Error>) {
    let mut records = Vec::new();
    let mut reader = match Wal::options().read_on(disk, DIR).await {
        Ok(reader) => reader,
        Err(error) => return (records, Some(error)),
    };
    loop {
        match reader.try_next().await {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

fn sound_logs() -> impl Iterator<Item = Sound> {
    let fresh = STOPS.into_iter().map(Sound::fresh);
    fresh.chain(STOPS.into_iter().map(Sound::recycled))
}

/// Each page of each segment becomes unreadable, one at a time.
pub fn a_bad_page_costs_that_page() {
    for sound in sound_logs() {
        let first = sound.records[0].lsn.get();
        for segment in segments(&sound) {
            let len = sound.disk.read(&segment.path).unwrap().len() as u64;
            for page in (0..len).step_by(PAGE_LEN) {
                let _label = Label(format!("{:?}: {}: page {page}", sound.stop, segment.path));
                note_trial();
                let disk = sound.disk.fork();
                assert!(disk.make_unreadable(&segment.path, page + 17, false));
                let (records, error) = run(read_on(&disk));
                let delivered = records.len();
                assert_eq!(records, sound.records[..delivered], "P4: other bytes");
                if page == 0 {
                    assert_is_unreadable(error.as_ref(), &segment, 0, segment.base);
                } else if segment.needs(page, sound.stop) {
                    let next = segment.base + segment.whole_before(page);
                    assert_eq!(first + delivered as u64, next, "P4: all that is before it");
                    assert_is_unreadable(error.as_ref(), &segment, page, next);
                } else {
                    assert!(error.is_none(), "P4: not needed: {error:?}");
                    assert_eq!(delivered, sound.records.len());
                }
            }
        }
    }
}

fn assert_is_unreadable(error: Option<&Error>, segment: &Segment, page: u64, first: u64) {
    let Some(Error::Corrupt(corruption)) = error else {
        panic!("P4: {error:?}");
    };
    assert_eq!(
        corruption.kind,
        CorruptionKind::Unreadable,
        "{corruption:?}"
    );
    assert_eq!(corruption.offset, page);
    assert_eq!(corruption.segment.to_string_lossy(), segment.path);
    assert_eq!(corruption.first.get(), first);
}

/// Each page of the newest segment, one at a time, is in the cache only while the log is opened.
pub fn the_only_readable_copy_is_not_given_up() {
    each_page_is_cached(|_| {});
}

/// The same on a disk without room for a copy. The log is then not opened, unless everything in it
/// is proven durable.
pub fn the_only_readable_copy_is_not_given_up_on_a_full_disk() {
    each_page_is_cached(|disk| disk.set_quota(Some(1)));
}

fn each_page_is_cached(prepare: impl Fn(&SimDisk)) {
    for sound in sound_logs() {
        let newest = segments(&sound).pop().unwrap();
        let pages = (DATA_OFFSET..newest.end()).step_by(PAGE_LEN);
        for page in pages {
            let _label = Label(format!("{:?}: page {page} is cached", sound.stop));
            let disk = sound.disk.fork();
            assert!(disk.make_unreadable(&newest.path, page, true));
            prepare(&disk);
            open_and_die(&disk, &sound);
        }
    }
}

/// Opens the log, interrupts that in each way, and reads the result.
fn open_and_die(disk: &SimDisk, sound: &Sound) {
    let before = disk.operations();
    let whole = disk.fork();
    open_unless_full(&whole);
    let operations = whole.operations() - before;
    assert_delivers_all(&whole, sound);
    for cut in 0..operations {
        let _label = Label(format!("killed at operation {cut}"));
        note_trial();
        let disk = disk.fork();
        disk.cut_power_at(before + cut);
        run(open(&disk)).unwrap_err();
        disk.kill();
        assert_delivers_all(&disk, sound);
        open_with_room(&disk);
        assert_delivers_all(&disk, sound);
    }
    for operation in Operation::ALL {
        let fails = |&skip: &u64| fail_and_die(disk, sound, operation, skip);
        (0..u64::MAX).take_while(fails).for_each(drop);
    }
    // Everything that was not proven durable was made durable, so the cache is no longer needed.
    if sound.stop == Stop::PowerCut {
        open_with_room(&whole);
        whole.restart(Survival::Nothing);
        let (records, error) = run(read_on(&whole));
        assert!(error.is_none() && records == sound.records, "P1: {error:?}");
    }
}

/// Only a full disk keeps a log from being opened.
fn open_unless_full(disk: &SimDisk) {
    match run(open(disk)) {
        Ok(()) => {}
        Err(Error::Io(fault)) => assert_eq!(fault.io_error().kind(), ErrorKind::StorageFull),
        Err(other) => panic!("{other:?}"),
    }
}

fn open_with_room(disk: &SimDisk) {
    disk.set_quota(None);
    run(open(disk)).unwrap();
}

/// Returns whether there was such an operation.
fn fail_and_die(disk: &SimDisk, sound: &Sound, operation: Operation, skip: u64) -> bool {
    let _label = Label(format!("{operation:?} fails after {skip} others"));
    note_trial();
    let disk = disk.fork();
    disk.fail(operation, skip, ErrorKind::Other);
    drop(run(open(&disk)));
    let has_failed = disk.clear_faults() == 0;
    disk.kill();
    assert_delivers_all(&disk, sound);
    has_failed
}

async fn open(disk: &SimDisk) -> Result<(), Error> {
    let options: WalOptions = options().spare_segments(0);
    options.open_on(disk, DIR).await?.close().await
}

fn assert_delivers_all(disk: &SimDisk, sound: &Sound) {
    let (records, error) = run(read_on(disk));
    assert!(error.is_none(), "P4: the only copy is given up: {error:?}");
    assert_eq!(records, sound.records);
}

const DATA_OFFSET: u64 = 4096;
const HEADER_LEN: u64 = 20;
const PAGE_LEN: usize = 4096;
