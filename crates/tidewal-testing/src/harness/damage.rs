//! Damage to the files of a log (promise P4): each outcome is either harmless or an error that
//! names the place, never a shorter log or wrong bytes.
//!
//! The one exception is damage that reaches to the very end of a log that was not closed
//! (`docs/durability.md`, "What can go unnoticed"), and it is counted.

use std::path::Path;

use allocation_counter::measure;
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Record, Wal};

use crate::harness::oracle::Oracle;
use crate::harness::steps::Driver;
use crate::harness::steps::Step::{self, Append, Batch, Idle, Together, Truncate};
use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

pub const SEGMENT_LEN: usize = 16 * 1024;

/// How a log was left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    Clean,
    /// The power was cut after the log had been idle, and the mark survived.
    Idle,
    /// The power was cut directly after the last acknowledgment.
    PowerCut,
}

pub const STOPS: [Stop; 3] = [Stop::Clean, Stop::Idle, Stop::PowerCut];

/// Three segments of acknowledged records. The last one holds two batches.
const THREE_SEGMENTS: &[Step] = &[
    Append(9000),
    Batch(2, 4000),
    Append(5000),
    Together(3, 30),
    Append(20),
];

/// The same in files that were segments before, with records in them.
const RECYCLED: &[Step] = &[
    Together(20, 3000),
    Truncate(0),
    Together(3, 5000),
    Together(3, 4000),
    Truncate(2),
    Append(9000),
    Batch(2, 4000),
    Append(5000),
    Truncate(4),
    Together(3, 30),
    Append(20),
];

/// A log to be damaged, and its records.
pub struct Sound {
    pub disk: SimDisk,
    pub stop: Stop,
    pub records: Vec<Record>,
}

impl Sound {
    pub fn fresh(stop: Stop) -> Self {
        Self::make(7, stop, THREE_SEGMENTS)
    }

    /// Another log with the same records.
    pub fn foreign(stop: Stop) -> Self {
        Self::make(8, stop, THREE_SEGMENTS)
    }

    pub fn recycled(stop: Stop) -> Self {
        let sound = Self::make(7, stop, RECYCLED);
        let newest = sound.disk.read(sound.segments().pop().unwrap()).unwrap();
        let leftovers = newest[SEGMENT_LEN / 2..].iter();
        assert!(
            leftovers.copied().any(|byte| byte != 0),
            "the file was not used before"
        );
        sound
    }

    fn make(seed: u64, stop: Stop, steps: &[Step]) -> Self {
        let disk = SimDisk::new(seed);
        let options = options().spare_segments(usize::from(steps.len() > 5) * 2);
        run(async {
            let mut oracle = Oracle::default();
            let mut driver = Driver::new(&disk, &options, &mut oracle);
            let wal = driver.start(steps).await.unwrap();
            match stop {
                Stop::Clean => wal.close().await.unwrap(),
                Stop::Idle => {
                    drop(driver.go_on(wal, &[Idle]).await.unwrap());
                    disk.restart(Survival::Everything);
                }
                Stop::PowerCut => disk.restart(Survival::Nothing),
            }
        });
        let records = run(read(&disk)).unwrap();
        Self {
            disk,
            stop,
            records,
        }
    }

    /// The paths of its segments, oldest first.
    pub fn segments(&self) -> Vec<String> {
        let names = self.disk.files(DIR).into_iter();
        names
            .map(|name| format!("{DIR}/{name}"))
            .filter(|path| Path::new(path).extension().is_some_and(|end| end == "wal"))
            .collect()
    }

    /// Damages one segment after the other in each way, and counts the outcomes of recovery.
    pub fn damage_everywhere<I>(&self, damages: impl Fn(&[u8]) -> I) -> Tally
    where
        I: Iterator<Item = Damage>,
    {
        let mut tally = Tally::default();
        for path in self.segments() {
            let sound = self.disk.read(&path).unwrap();
            for damage in damages(&sound) {
                let _label = Label(format!("{:?}: {path}: {damage:?}", self.stop));
                self.disk.corrupt(&path, |bytes| damage.apply(bytes));
                tally.note(self, run(read(&self.disk)));
                self.disk.write_file(&path, sound.clone());
            }
        }
        assert_eq!(run(read(&self.disk)).unwrap(), self.records);
        println!("{:?}: {tally:?}", self.stop);
        tally
    }
}

/// Damages the newest segment where it matters most, and checks that reading it never takes more memory
/// than the read-ahead.
pub fn measure_everywhere(sound: &Sound) {
    let peak = || measure(|| drop(run(read(&sound.disk)))).bytes_max;
    let plain = peak();
    let newest = sound.segments().pop().unwrap();
    let bytes = sound.disk.read(&newest).unwrap();
    for bit in (0..80 * 8).chain(4096 * 8..4120 * 8) {
        let _label = Label(format!("bit {bit}"));
        note_trial();
        sound
            .disk
            .corrupt(&newest, |bytes| Damage::FlippedBit(bit).apply(bytes));
        let damaged = peak();
        assert!(
            damaged <= plain + READ_AHEAD,
            "{damaged} bytes, not {plain}"
        );
        sound.disk.write_file(&newest, bytes.clone());
    }
}

const READ_AHEAD: u64 = 3 * 1024 * 1024;

/// Damage to one file.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    FlippedBit(usize),
    ZeroedSector(usize),
    CutTo(usize),
}

impl Damage {
    pub fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::FlippedBit(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
            Self::ZeroedSector(sector) => bytes[sector * 512..(sector + 1) * 512].fill(0),
            Self::CutTo(len) => bytes.truncate(len),
        }
    }
}

pub async fn read(disk: &SimDisk) -> Result<Vec<Record>, Error> {
    let mut reader = Wal::options().read_on(disk, DIR).await?;
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().await? {
        records.push(record);
    }
    Ok(records)
}

/// The outcomes for damaged logs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub harmless: u64,
    pub reported: u64,
    /// The end of the log was taken for a torn tail.
    pub unnoticed: u64,
    /// The most records that such an end held.
    pub most_lost: usize,
}

impl Tally {
    fn note(&mut self, sound: &Sound, read: Result<Vec<Record>, Error>) {
        note_trial();
        match read {
            Ok(records) if records == sound.records => self.harmless += 1,
            Ok(records) => {
                let lost = sound.records.len() - records.len();
                assert_eq!(records, sound.records[..records.len()], "P4: other bytes");
                assert!(sound.stop == Stop::PowerCut, "P4: {lost} records are lost");
                self.unnoticed += 1;
                self.most_lost = self.most_lost.max(lost);
            }
            Err(Error::Corrupt(corruption)) => {
                let segment = corruption.segment.to_string_lossy();
                assert!(
                    segment.ends_with(".wal"),
                    "P4: {corruption:?} names no segment"
                );
                self.reported += 1;
            }
            Err(Error::Unsupported { .. }) => self.reported += 1,
            Err(error) => panic!("P4: {error:?}"),
        }
    }
}
