//! Pages that the system cannot read: a survey judges them as a recovery does and continues after
//! them. A repair makes a log that opens, with everything that was delivered before.

use tidewal::CorruptionKind;
use tidewal::sim::SimDisk;
use tidewal::tools::Depth;

use crate::harness::Label;
use crate::harness::damage::{SEGMENT_LEN, STOPS, Sound, Stop};
use crate::repairs::execute;
use crate::wreck::{assert_agreement, live_on, plan, survey};

/// Each page of each segment, one at a time.
fn for_each_bad_page(mut check: impl FnMut(&SimDisk)) {
    for stop in STOPS {
        let log = Sound::fresh(stop);
        for path in log.segments() {
            for page in (0..SEGMENT_LEN as u64).step_by(4096) {
                let _label = Label(format!("{stop:?}: {path}: page {page}"));
                let disk = log.disk.fork();
                assert!(disk.make_unreadable(&path, page, false));
                check(&disk);
            }
        }
    }
}

#[test]
fn a_survey_and_a_recovery_agree_on_every_bad_page() {
    let mut damaged = 0;
    for_each_bad_page(|disk| damaged += usize::from(assert_agreement(disk).outcome.is_err()));
    assert!(damaged > 10, "{damaged} logs that do not open");
}

#[test]
fn a_log_with_a_bad_page_can_be_repaired() {
    for_each_bad_page(|disk| {
        let strict = assert_agreement(disk);
        if strict.outcome.is_ok() {
            return;
        }
        let repaired = execute(plan(disk).unwrap()).unwrap();
        assert!(repaired.survey.is_sound());
        let (_, records) = live_on(disk).unwrap();
        assert!(
            records.starts_with(&strict.records),
            "what was delivered is lost"
        );
    });
}

#[test]
fn what_is_behind_a_bad_page_is_found() {
    let log = Sound::fresh(Stop::Clean);
    let first = &log.segments()[0];
    // The second page is in the middle of record 1, and another record follows in the segment.
    assert!(log.disk.make_unreadable(first, 2 * 4096, false));
    let survey = survey(&log.disk, Depth::Everything);
    let found: Vec<_> = survey
        .corruptions
        .iter()
        .map(|corruption| (corruption.kind, corruption.offset, corruption.first.get()))
        .collect();
    assert_eq!(found, [(CorruptionKind::Unreadable, 2 * 4096, 1)]);
    assert_eq!(survey.records(), log.records.len() as u64 - 1);
}
