//! Damage on disk (promise P4): flipped bits, zeroed sectors and cut lengths of a small log, in new
//! files and in recycled ones.
//!
//! Every bit, which takes some minutes:
//!
//!     TIDEWAL_EVERY_BIT=1 cargo test --release --test damage -- --nocapture

use tidewal::Error;
use tidewal_testing::harness::damage::{
    Damage, SEGMENT_LEN, STOPS, Sound, Stop, measure_everywhere, read,
};
use tidewal_testing::harness::number;
use tidewal_testing::support::run;

fn logs() -> impl Iterator<Item = Sound> {
    let fresh = STOPS.into_iter().map(Sound::fresh);
    fresh.chain(STOPS.into_iter().map(Sound::recycled))
}

/// Every bit of the header, of the head mark, of the statement, and of the frames at the start of the
/// data, and every 251st of the rest.
fn interesting_bits(file: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let bits = file.len() * 8;
    let all = number("TIDEWAL_EVERY_BIT", 0) == 1;
    let is_dense = move |bit: &usize| {
        let byte = bit / 8;
        all || byte < 80
            || (512..540).contains(&byte)
            || (1024..1050).contains(&byte)
            || (4096..4150).contains(&byte)
    };
    (0..bits).filter(move |bit| is_dense(bit) || bit % 251 == 0)
}

fn flip(bits: impl Iterator<Item = usize>) -> impl Iterator<Item = Damage> {
    bits.map(Damage::FlippedBit)
}

#[test]
fn flipped_bits() {
    for log in logs() {
        let tally = log.damage_everywhere(|file| flip(interesting_bits(file)));
        assert!(tally.reported > 500);
        assert_eq!(
            tally.unnoticed > 0,
            log.stop == Stop::PowerCut,
            "the exception is seen"
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
    for log in logs() {
        let newest = log.segments().pop().unwrap();
        let newest = log.disk.read(newest).unwrap();
        let tally = log.damage_everywhere(|file| {
            let bits = if *file == newest {
                4096 * 8..(4096 + 5300) * 8
            } else {
                0..0
            };
            flip(bits.filter(|bit| bit / 8 < 4096 + 100 || bit / 8 > 4096 + 4950))
        });
        assert!(tally.reported > 0 && tally.harmless > 0, "{tally:?}");
    }
}

#[test]
fn zeroed_sectors() {
    for log in logs() {
        let tally = log.damage_everywhere(|file| (0..file.len() / 512).map(Damage::ZeroedSector));
        assert!(
            tally.unnoticed <= 1,
            "only the sector with the end of the log"
        );
    }
}

#[test]
fn cut_files() {
    for log in logs() {
        let tally = log.damage_everywhere(|_| {
            let lengths = (0..100).chain((100..SEGMENT_LEN).step_by(97));
            lengths.map(Damage::CutTo)
        });
        assert_eq!(
            tally.harmless + tally.unnoticed,
            0,
            "a file keeps its length"
        );
    }
}

#[test]
fn missing_swapped_duplicated_and_foreign_files() {
    for log in logs() {
        let paths = log.segments();
        let foreign = Sound::foreign(Stop::Clean);
        let strangers = foreign.segments().into_iter().cycle();
        for ((index, path), stranger) in paths.iter().enumerate().zip(strangers) {
            let other = &paths[(index + 1) % paths.len()];
            let missing = log.disk.fork();
            assert!(missing.remove_file(path));
            let duplicated = log.disk.fork();
            duplicated.write_file(path, log.disk.read(other).unwrap());
            let swapped = duplicated.fork();
            swapped.write_file(other, log.disk.read(path).unwrap());
            let replaced = log.disk.fork();
            replaced.write_file(path, foreign.disk.read(stranger).unwrap());
            for disk in [missing, duplicated, swapped, replaced] {
                let error = run(async { read(&disk).await.unwrap_err() });
                assert!(matches!(error, Error::Corrupt(_)), "{path}: {error:?}");
            }
        }
    }
}

/// Regardless of the contents of a damaged file.
#[test]
fn damage_never_makes_recovery_take_more_memory() {
    logs().for_each(|log| measure_everywhere(&log));
}

/// The reason is that a frame says how far the log was durable when it was written.
#[test]
fn a_lost_batch_is_noticed_once_another_one_follows() {
    let log = Sound::fresh(Stop::PowerCut);
    let newest = log.segments().pop().unwrap();
    let first_of_three = 4096 + 20 + 5000;
    log.disk
        .corrupt(&newest, |bytes| bytes[first_of_three + 25] ^= 1);
    let Error::Corrupt(corruption) = run(async { read(&log.disk).await.unwrap_err() }) else {
        panic!("it is corruption");
    };
    assert_eq!(corruption.kind.label(), "proven-lost");
    assert_eq!(corruption.offset, first_of_three as u64);
    assert_eq!((corruption.first.get(), corruption.last.get()), (5, 7));
}
