//! A survey and a recovery must judge a log alike.

use tidewal::tools::Depth;
use tidewal::{CorruptionKind, Error};

use crate::harness::Label;
use crate::harness::damage::{Sound, Stop};
use crate::wreck::{Strict, assert_agreement, for_each_wreck, segment, survey};

#[test]
fn a_survey_and_a_recovery_agree_on_every_damaged_log() {
    let (mut sound, mut damaged) = (0, 0);
    for_each_wreck(1, |what, _, disk| {
        let _label = Label(what.to_owned());
        match assert_agreement(disk).outcome {
            Ok(_) => sound += 1,
            Err(_) => damaged += 1,
        }
    });
    println!("{sound} logs that open, {damaged} that do not");
    assert!(sound > 1000 && damaged > 1000);
}

/// [`Depth::Newest`] reads the same as opening without a replay.
#[test]
fn a_look_at_the_newest_segment_agrees_with_opening() {
    for_each_wreck(5, |what, _, disk| {
        let _label = Label(what.to_owned());
        let fork = disk.fork();
        let opened = crate::wreck::live_on(&fork);
        let looked = survey(disk, Depth::Newest);
        match opened {
            Ok(_) => assert!(looked.is_sound(), "{:?}", looked.corruptions),
            // Found when everything was read at the end.
            Err(Error::Corrupt(_)) if Strict::read(disk).outcome.is_err() => {}
            Err(Error::Unsupported { .. }) => assert!(!looked.is_sound()),
            Err(error) => panic!("{error:?}"),
        }
    });
}

/// Not only the first one.
#[test]
fn every_damaged_range_is_named() {
    let log = Sound::fresh(Stop::Clean);
    let [first, .., newest] = &log.segments()[..] else {
        panic!("there are several segments")
    };
    // Record 2 of the second segment's batch, and the first and third small record of the newest one.
    for (path, at) in [
        (first, 4096 + 100),
        (newest, 4096 + 100),
        (newest, 4096 + 20 + 5000 + 50 + 25),
    ] {
        assert!(log.disk.corrupt(path, |bytes| bytes[at] ^= 1));
    }
    let survey = survey(&log.disk, Depth::Everything);
    let found: Vec<_> = survey
        .corruptions
        .iter()
        .map(|corruption| {
            (
                corruption.kind,
                corruption.first.get(),
                corruption.last.get(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (CorruptionKind::SealedDamaged, 1, 1),
            (CorruptionKind::ProvenLost, 4, 4),
            (CorruptionKind::ProvenLost, 6, 6),
        ]
    );
    assert_eq!(survey.records(), 5, "{:#?}", survey.segments);
    assert!(survey.segments[0].file.ends_with(segment(1)));
}
