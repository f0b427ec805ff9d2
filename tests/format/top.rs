//! The last possible LSNs.

use tidewal::Error;

use crate::cases::format::{Frame, LINK, MARK, PART, SEAL};
use crate::craft::{Read, Segment, append, disk_with, survey};
use crate::support::DIR;

const TOP: u64 = u64::MAX;

fn log(base: u64, last: u64) -> Segment {
    let segment = Segment::new(base, 16 * 1024);
    (base..=last).fold(segment, |segment, _| segment.record(b"x"))
}

#[test]
fn every_way_to_look_at_a_log_at_the_top_works() {
    for base in [TOP - 3, TOP - 1, TOP] {
        for statement in [
            None,
            Some((MARK, TOP)),
            Some((SEAL, TOP)),
            Some((LINK, TOP)),
        ] {
            let mut segment = log(base, TOP);
            if let Some((kind, lsn)) = statement {
                segment = segment.state(Frame::statement(kind, lsn));
            }
            let disk = disk_with(&[segment]);
            let read = Read::of(&disk);
            assert_eq!(read.lsns(), (base..=TOP).collect::<Vec<_>>());
            let is_link = statement.is_some_and(|(kind, _)| kind == LINK);
            assert_eq!(read.label(), is_link.then_some("successor-missing"));
            let survey = survey(&disk);
            assert_eq!(
                (survey.is_sound(), survey.records()),
                (!is_link, TOP - base + 1)
            );
            let planned = tidewal::tools::LogDir::on(&disk, DIR).plan_repair();
            assert_eq!(planned.unwrap().is_empty(), !is_link);
        }
    }
}

/// No record comes after the last one, not even the same one again.
#[test]
fn the_last_record_does_not_come_twice() {
    let twice = log(TOP - 1, TOP);
    let mut twice = Segment { next: TOP, ..twice };
    twice = twice.record(b"again");
    let read = Read::of(&disk_with(&[twice]));
    assert_eq!((read.lsns(), read.label()), (vec![TOP - 1, TOP], None));
}

#[test]
fn an_atomic_batch_that_would_go_beyond_the_top_is_torn() {
    let segment = log(TOP - 1, TOP - 1).frame(PART, b"b");
    let read = Read::of(&disk_with(&[segment]));
    assert_eq!((read.lsns(), read.label()), (vec![TOP - 1], None));
}

#[test]
fn a_log_too_near_the_top_is_read_and_not_appended_to() {
    for last in [TOP, TOP - 1, TOP - (1 << 56) + 1] {
        let disk = disk_with(&[log(last - 1, last).state(Frame::statement(SEAL, last))]);
        let before = disk.fingerprint();
        let error = append(&disk).unwrap_err();
        assert!(matches!(error, Error::LsnsExhausted { end, .. } if end.get() == last));
        assert!(
            error.to_string().contains("too close to the last LSN"),
            "{error}"
        );
        assert_eq!(disk.fingerprint(), before, "nothing is changed");
        assert_eq!(Read::of(&disk).lsns(), [last - 1, last]);
    }
    let last = TOP - (1 << 56);
    let disk = disk_with(&[log(last, last)]);
    assert_eq!(append(&disk).unwrap(), last + 1);
}

/// Damage at the top is damage like any other.
#[test]
fn damage_at_the_top_is_named_and_repaired() {
    let mut damaged = log(TOP - 2, TOP).state(Frame::statement(SEAL, TOP));
    damaged.bytes[4096 + 21 + 20] ^= 1;
    let disk = disk_with(&[damaged]);
    let read = Read::of(&disk);
    assert_eq!(
        (read.lsns(), read.label()),
        (vec![TOP - 2], Some("proven-lost"))
    );
    let survey = survey(&disk);
    let corruption = &survey.corruptions[0];
    assert_eq!(
        (corruption.first.get(), corruption.last.get()),
        (TOP - 1, TOP - 1)
    );
    assert_eq!(survey.records(), 2);
    let plan = tidewal::tools::LogDir::on(&disk, DIR)
        .plan_repair()
        .unwrap();
    plan.execute().unwrap();
    assert_eq!(Read::of(&disk).lsns(), [TOP - 2]);
}
