//! Damage on disk (promise P4): flipped bits, zeroed sectors and cut lengths of a small log: each is
//! either harmless or an error that names the place; never a shorter log, never wrong bytes.
//!
//! The one exception is damage that reaches to the very end of a log that was not closed
//! (`docs/durability.md`, "What can go unnoticed"), and it is counted.

mod support;

use support::Step::{Append, Batch, Idle, Together};
use support::{DIR, Journal, drive, options, run};
use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Record, Wal};

const SEGMENT_LEN: usize = 16 * 1024;

/// How a log was left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Clean,
    /// The power went after the log had been idle, and the mark survived.
    Idle,
    /// The power went right after the last acknowledgement.
    PowerCut,
}

/// A log of three segments, all of it acknowledged. The last of them holds two batches.
fn make_log(stop: Stop) -> SimDisk {
    run(async {
        let disk = SimDisk::new(7);
        let options = options().spare_segments(0);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        let steps = [
            Append(9000),
            Batch(2, 4000),
            Append(5000),
            Together(3, 30),
            Append(20),
        ];
        let mut journal = Journal::default();
        let wal = drive(&disk, &options, wal, &steps, &mut journal)
            .await
            .unwrap();
        match stop {
            Stop::Clean => wal.close().await.unwrap(),
            Stop::Idle => {
                let wal = drive(&disk, &options, wal, &[Idle], &mut journal)
                    .await
                    .unwrap();
                disk.restart(Survival::Everything);
                drop::<Wal>(wal);
            }
            Stop::PowerCut => disk.restart(Survival::Nothing),
        }
        disk
    })
}

async fn read(disk: &SimDisk) -> Result<Vec<Record>, Error> {
    let mut reader = Wal::options().read_on(disk, DIR).await?;
    let mut records = Vec::new();
    while let Some(record) = reader.try_next().await? {
        records.push(record);
    }
    Ok(records)
}

/// What became of a log that was damaged.
#[derive(Debug, Default)]
struct Tally {
    harmless: u64,
    reported: u64,
    /// The end of the log was taken for a torn tail.
    unnoticed: u64,
    /// The most records that such an end held.
    most_lost: usize,
}

impl Tally {
    fn note(&mut self, stop: Stop, whole: &[Record], read: Result<Vec<Record>, Error>, what: &str) {
        match read {
            Ok(records) if records == whole => self.harmless += 1,
            Ok(records) => {
                let lost = whole.len() - records.len();
                assert_eq!(records, whole[..records.len()], "{what}: other bytes");
                assert!(stop == Stop::PowerCut, "{what}: {lost} records are lost");
                self.unnoticed += 1;
                self.most_lost = self.most_lost.max(lost);
            }
            Err(Error::Corrupt(corruption)) => {
                let named = corruption
                    .segment
                    .extension()
                    .is_some_and(|name| name == "wal");
                assert!(named, "{what}: {corruption:?}");
                self.reported += 1;
            }
            Err(Error::Unsupported { .. }) => self.reported += 1,
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
}

/// Damages one file at a time and tallies what recovery makes of it.
fn damage_everywhere(stop: Stop, damages: impl Fn(&[u8]) -> Vec<(String, Vec<u8>)>) -> Tally {
    let disk = make_log(stop);
    run(async {
        let whole = read(&disk).await.unwrap();
        assert_eq!(whole.len(), 8);
        let mut tally = Tally::default();
        for name in disk.files(DIR) {
            let path = format!("{DIR}/{name}");
            let sound = disk.read(&path).unwrap();
            for (what, damaged) in damages(&sound) {
                disk.plant(&path, damaged);
                let what = format!("{stop:?}: {name}: {what}");
                tally.note(stop, &whole, read(&disk).await, &what);
            }
            disk.plant(&path, sound);
        }
        assert_eq!(read(&disk).await.unwrap(), whole);
        println!("{stop:?}: {tally:?}");
        tally
    })
}

fn flip_bits(file: &[u8], bits: impl Iterator<Item = usize>) -> Vec<(String, Vec<u8>)> {
    bits.map(|bit| {
        let mut damaged = file.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit}"), damaged)
    })
    .collect()
}

/// Every bit of the header, of the head mark, and of the frames at the start of the data, and every
/// 251st of the rest.
fn interesting_bits(file: &[u8]) -> impl Iterator<Item = usize> {
    let bits = file.len() * 8;
    let is_dense = |bit: &usize| {
        let byte = bit / 8;
        byte < 80
            || (512..540).contains(&byte)
            || (1024..1050).contains(&byte)
            || (4096..4150).contains(&byte)
    };
    (0..bits).filter(move |bit| is_dense(bit) || bit % 251 == 0)
}

#[test]
fn flipped_bits() {
    for stop in [Stop::Clean, Stop::Idle, Stop::PowerCut] {
        let tally = damage_everywhere(stop, |file| flip_bits(file, interesting_bits(file)));
        assert!(tally.reported > 500);
        assert_eq!(
            tally.unnoticed > 0,
            stop == Stop::PowerCut,
            "the harness sees the exception"
        );
        assert!(
            tally.most_lost <= 1,
            "a flipped bit reaches the last batch only"
        );
    }
}

/// Every bit of the last segment's records, where the verdict is hardest.
#[test]
fn flipped_bits_in_the_newest_records() {
    for stop in [Stop::Clean, Stop::Idle, Stop::PowerCut] {
        let disk = make_log(stop);
        let newest = disk.files(DIR).pop().unwrap();
        let path = format!("{DIR}/{newest}");
        let sound = disk.read(&path).unwrap();
        run(async {
            let whole = read(&disk).await.unwrap();
            let mut tally = Tally::default();
            for (what, damaged) in flip_bits(&sound, 4096 * 8 + 5000 * 8..(4096 + 5300) * 8) {
                disk.plant(&path, damaged);
                tally.note(stop, &whole, read(&disk).await, &what);
            }
            println!("{stop:?}: {tally:?}");
            assert!(tally.reported > 0 && tally.harmless > 0);
        });
    }
}

#[test]
fn zeroed_sectors() {
    for stop in [Stop::Clean, Stop::Idle, Stop::PowerCut] {
        let tally = damage_everywhere(stop, |file| {
            let sectors = 0..file.len() / 512;
            sectors
                .map(|sector| {
                    let mut damaged = file.to_vec();
                    damaged[sector * 512..(sector + 1) * 512].fill(0);
                    (format!("sector {sector}"), damaged)
                })
                .collect()
        });
        assert!(
            tally.unnoticed <= 1,
            "only the sector with the end of the log"
        );
    }
}

#[test]
fn cut_files() {
    for stop in [Stop::Clean, Stop::Idle, Stop::PowerCut] {
        let tally = damage_everywhere(stop, |file| {
            let lengths = (0..100).chain((100..SEGMENT_LEN).step_by(97));
            lengths
                .map(|len| (format!("length {len}"), file[..len].to_vec()))
                .collect()
        });
        assert_eq!(
            tally.harmless + tally.unnoticed,
            0,
            "a file keeps its length"
        );
    }
}

#[test]
fn missing_swapped_and_duplicated_files() {
    for stop in [Stop::Clean, Stop::Idle, Stop::PowerCut] {
        let disk = make_log(stop);
        let names = disk.files(DIR);
        assert_eq!(names.len(), 3);
        for (index, name) in names.iter().enumerate() {
            let other = &names[(index + 1) % 3];
            let (path, other) = (format!("{DIR}/{name}"), format!("{DIR}/{other}"));
            let missing = disk.fork();
            assert!(missing.destroy(&path));
            let duplicated = disk.fork();
            duplicated.plant(&path, disk.read(&other).unwrap());
            let swapped = duplicated.fork();
            swapped.plant(&other, disk.read(&path).unwrap());
            for disk in [missing, duplicated, swapped] {
                let error = run(async { read(&disk).await.unwrap_err() });
                assert!(matches!(error, Error::Corrupt(_)), "{name}: {error:?}");
            }
        }
    }
}

/// Named for the rule that makes it so: a frame says how far the log was durable when it was written.
#[test]
fn a_lost_batch_is_noticed_once_another_one_follows() {
    let disk = make_log(Stop::PowerCut);
    let newest = format!("{DIR}/{}", disk.files(DIR).pop().unwrap());
    let sound = disk.read(&newest).unwrap();
    let first_of_three = 4096 + 20 + 5000;
    let mut damaged = sound.clone();
    damaged[first_of_three + 25] ^= 1;
    disk.plant(&newest, damaged);
    let Error::Corrupt(corruption) = run(async { read(&disk).await.unwrap_err() }) else {
        panic!("it is corruption");
    };
    assert_eq!(corruption.damage.label(), "proven-lost");
    assert_eq!(corruption.offset, first_of_three as u64);
    assert_eq!((corruption.first.get(), corruption.last.get()), (5, 7));
}
