//! The result of a repair.

use std::path::Path;

use tidewal::sim::SimDisk;
use tidewal::tools::{Depth, LogDir, RepairPlan, RepairStep, Repaired};
use tidewal::{CorruptionKind, Error, Lsn, Record, Wal};

use crate::harness::Label;
use crate::harness::damage::{Sound, Stop};
use crate::support::{DIR, options, run};
use crate::wreck::{
    Collector, Strict, assert_agreement, files, for_each_wreck, live_on, plan, segment, survey,
};

pub fn execute(plan: RepairPlan) -> Result<Repaired, Error> {
    plan.execute()
}

/// Facts about a log before its repair, for checks after it.
pub struct Before {
    /// The records that recovery delivered before its error.
    pub delivered: Vec<Record>,
    /// The records that could be read in any way.
    pub readable: Vec<Record>,
    pub files: Vec<(String, Vec<u8>)>,
    /// The records of the sound log.
    pub written: Vec<Record>,
    /// The lowest LSN that may be given out, according to the plan.
    pub floor: Lsn,
}

impl Before {
    pub fn of(log: &Sound, disk: &SimDisk, strict: Strict) -> Self {
        let mut collector = Collector::default();
        LogDir::on(disk, DIR)
            .survey_with(Depth::Everything, &mut collector)
            .unwrap();
        Self {
            delivered: strict.records,
            readable: collector.0,
            files: files(disk),
            written: log.records.clone(),
            floor: floor(disk),
        }
    }

    /// The log opens, holds everything that recovery delivered before, and nothing that was not
    /// written.
    pub fn assert_stretch(&self, records: &[Record]) {
        assert!(
            records.starts_with(&self.delivered),
            "what was delivered is lost"
        );
        let known = |record: &Record| self.written.contains(record);
        assert!(records.iter().all(known), "records that were never written");
    }

    /// A new log in place of the old one would begin at LSN 1.
    pub fn assert_goes_on(&self, lsn: Lsn) {
        assert!(
            lsn >= self.floor,
            "LSN {lsn} is given out below {}",
            self.floor
        );
    }

    /// Every record that could be read is in some file.
    pub fn assert_nothing_lost(&self, disk: &SimDisk) {
        let after = files(disk);
        let gone = self
            .files
            .iter()
            .filter(|(path, bytes)| is_log(path) && !after.iter().any(|(_, other)| other == bytes));
        if gone.count() == 0 {
            return;
        }
        for record in &self.readable {
            let is_in = |(_, bytes): &(String, Vec<u8>)| contains(bytes, &record.payload);
            assert!(
                after.iter().any(is_in),
                "record {} is in no file",
                record.lsn
            );
        }
    }
}

fn floor(disk: &SimDisk) -> Lsn {
    plan(disk).map_or(Lsn::ZERO, |planned| planned.next)
}

fn is_log(path: &str) -> bool {
    has_end(path, "wal") || has_end(path, "kept")
}

fn has_end(path: &str, end: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == end)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_repaired_log_opens_and_has_lost_nothing_that_could_be_read() {
    let (mut repaired, mut refused, mut parted) = (0, 0, 0);
    for_each_wreck(3, |what, log, disk| {
        let _label = Label(what.to_owned());
        let strict = Strict::read(disk);
        let planned = plan(disk);
        match &strict.outcome {
            Ok(_) => {
                let planned = planned.unwrap();
                assert!(planned.is_empty());
                assert_eq!(live_on(&disk.fork()).unwrap().0, planned.next);
            }
            Err(Error::Corrupt(_)) if planned.is_ok() => {
                repaired += 1;
                assert_repairs(&Before::of(log, disk, strict), &disk.fork());
            }
            Err(Error::Corrupt(_)) => {
                assert_two_logs(&planned.unwrap_err());
                parted += 1;
            }
            Err(_) => {
                assert!(matches!(planned, Err(Error::Unsupported { .. })));
                refused += 1;
            }
        }
    });
    println!("{repaired} repaired, {refused} of a later format, {parted} of two logs");
    assert!(parted > 5);
    assert!(repaired > 1000);
}

fn assert_two_logs(error: &Error) {
    let text = format!("{error:?}");
    assert!(text.contains("files of 2 logs"), "{text}");
    assert!(text.contains("Move the files of the others"), "{text}");
}

/// Repairs a fork of the damaged disk, and checks the result.
fn assert_repairs(before: &Before, disk: &SimDisk) {
    let planned = plan(disk).unwrap();
    assert!(!planned.is_empty());
    let (kept, next, reused) = (planned.kept.clone(), planned.next, planned.reused.clone());
    let may_reuse_more = planned.may_reuse_more;
    let steps = planned.steps.clone();
    let done = execute(planned).unwrap();
    assert!(done.survey.is_sound());
    assert!(
        plan(disk).unwrap().is_empty(),
        "there is nothing left to repair"
    );
    let records = assert_agreement(disk).records;
    before.assert_stretch(&records);
    let ends = kept.map(|kept| (*kept.start(), *kept.end()));
    assert_eq!(
        ends,
        records
            .first()
            .map(|first| (first.lsn, records[records.len() - 1].lsn))
    );
    assert_kept(before, disk, &steps);
    for lsn in before.written.iter().map(|record| record.lsn) {
        let is_told = reused.as_ref().is_some_and(|reused| reused.contains(&lsn));
        assert!(
            lsn < next || is_told || may_reuse_more,
            "LSN {lsn} comes again, unsaid"
        );
    }
    let (lsn, records) = live_on(disk).unwrap();
    assert_eq!(lsn, next);
    before.assert_stretch(&records[..records.len() - 1]);
    before.assert_nothing_lost(disk);
}

/// Every file that was taken out or changed is in the folder as it was. No other file has changed,
/// except as the steps say.
fn assert_kept(before: &Before, disk: &SimDisk, steps: &[RepairStep]) {
    let after = files(disk);
    for (path, bytes) in before.files.iter().filter(|(path, _)| has_end(path, "wal")) {
        let is_kept = |step: &RepairStep| matches!(step, RepairStep::Keep { file, .. } if file.ends_with(path.as_str()));
        let same: Vec<_> = after.iter().filter(|(_, other)| other == bytes).collect();
        if steps.iter().any(is_kept) {
            assert!(
                same.iter().any(|(other, _)| other.ends_with(".wal.kept")),
                "{path} is not kept"
            );
        } else if !same.iter().any(|(other, _)| other == path) {
            let (_, now) = after.iter().find(|(other, _)| other == path).unwrap();
            let mut expected = bytes.clone();
            expected.resize(now.len(), 0);
            expected[512..540].copy_from_slice(&now[512..540]);
            assert_eq!(expected, *now, "{path} has changed");
        }
    }
}

/// The newest records of a log with a damaged header are lost, and their number is unknown. No LSN
/// that they may have had is given out again.
#[test]
fn a_damaged_header_of_the_only_segment_moves_the_log_beyond_all_it_may_have_held() {
    let disk = SimDisk::new(3);
    run(async {
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for _ in 0..50 {
            wal.append("x").await.unwrap();
        }
        wal.close().await.unwrap();
    });
    disk.corrupt(segment(1), |bytes| bytes[20] ^= 1);
    let planned = plan(&disk).unwrap();
    let most = (16 * 1024 - 4096) / 20;
    assert_eq!(
        (planned.kept.clone(), planned.next),
        (None, Lsn::new(most + 1))
    );
    assert!(planned.reused.is_none() && !planned.may_reuse_more);
    let done = execute(planned).unwrap();
    assert_eq!(done.survey.oldest, Lsn::new(most + 1));
    let folder = done.folder.unwrap();
    let note = disk.read(folder.join("REPAIR.txt")).unwrap();
    assert!(String::from_utf8(note).unwrap().contains("header-damaged"));
    assert_eq!(live_on(&disk).unwrap().0, Lsn::new(most + 1));
    // A service whose snapshot covers a lost record gets an error.
    let error = run(Wal::options().start_at(Lsn::new(40)).read_on(&disk, DIR)).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
}

/// Nothing before the damage can be read. The records after it stay, and no LSN is given out again.
#[test]
fn a_damaged_first_segment_is_cut_off_at_the_front() {
    let log = Sound::fresh(Stop::Clean);
    log.disk.corrupt(segment(1), |bytes| bytes[4096 + 50] ^= 1);
    let second = survey(&log.disk, Depth::Headers).segments[1].base;
    let planned = plan(&log.disk).unwrap();
    let newest = log.records[log.records.len() - 1].lsn;
    assert_eq!(planned.kept, Some(second..=newest));
    assert_eq!(planned.next, newest.next());
    assert!(planned.reused.is_none() && !planned.may_reuse_more);
    assert!(
        planned.to_string().contains("needs a snapshot"),
        "{planned}"
    );
    execute(planned).unwrap();
    assert_eq!(Strict::read(&log.disk).records[0].lsn, second);
}

#[test]
fn a_missing_first_segment_costs_nothing_more() {
    let log = Sound::fresh(Stop::Clean);
    let first = survey(&log.disk, Depth::Headers).segments[0].base;
    log.disk.remove_file(segment(first.get()));
    let planned = plan(&log.disk).unwrap();
    assert_eq!(
        planned.survey.corruptions[0].kind,
        CorruptionKind::PredecessorMissing
    );
    assert!(matches!(
        planned.steps[..],
        [RepairStep::Keep { .. }, RepairStep::MarkHead { .. }]
    ));
    assert_eq!(planned.cut_records, 0);
    let head = log.segments().remove(0);
    let before = log.disk.read(&head).unwrap();
    let folder = execute(planned).unwrap().folder.unwrap();
    assert!(Strict::read(&log.disk).outcome.is_ok());
    let name = std::path::Path::new(&head).file_name().unwrap();
    let kept = folder.join(format!("{}.kept", name.to_str().unwrap()));
    assert_eq!(log.disk.read(kept).unwrap(), before);
}

/// A file that lost only its unused end is extended again, and no record is lost.
#[test]
fn a_file_that_is_short_of_nothing_but_unused_space_is_extended() {
    let log = Sound::fresh(Stop::Clean);
    log.disk
        .corrupt(segment(1), |bytes| bytes.truncate(16 * 1024 - 512));
    let planned = plan(&log.disk).unwrap();
    assert!(
        matches!(planned.steps[..], [RepairStep::Extend { .. }]),
        "{planned}"
    );
    execute(planned).unwrap();
    assert_eq!(Strict::read(&log.disk).records, log.records);
}

#[test]
fn a_plan_for_another_state_of_the_log_is_refused() {
    let log = Sound::fresh(Stop::Clean);
    log.disk.corrupt(segment(1), |bytes| bytes[4096 + 50] ^= 1);
    let planned = plan(&log.disk).unwrap();
    log.disk.corrupt(segment(1), |bytes| bytes[4096 + 50] ^= 1);
    let before = files(&log.disk);
    let error = execute(planned).unwrap_err();
    assert!(format!("{error:?}").contains("has changed"), "{error:?}");
    assert_eq!(files(&log.disk), before);
}

#[test]
fn nobody_repairs_what_is_in_use() {
    let disk = SimDisk::new(5);
    run(async {
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append("x").await.unwrap();
        let dir = LogDir::on(&disk, DIR);
        let error = dir.plan_repair().unwrap_err();
        assert!(matches!(error, Error::Locked { .. }));
        let error = dir.survey(Depth::Newest).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }));
        let survey = dir.survey(Depth::Headers).unwrap();
        assert!(survey.in_use && survey.ending.is_none());
        wal.close().await.unwrap();
        // A reader prevents a repair, but not its plan.
        disk.corrupt(segment(1), |bytes| bytes[4100] ^= 1);
        let planned = dir.plan_repair().unwrap();
        let reader = Wal::options().read_on(&disk, DIR).await.unwrap();
        let error = planned.clone().execute().unwrap_err();
        assert!(matches!(error, Error::Locked { .. }));
        drop(reader);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        planned.execute().unwrap();
    });
}

#[test]
fn folders_of_earlier_repairs_are_never_written_over() {
    let log = Sound::fresh(Stop::Clean);
    log.disk
        .write_file(format!("{DIR}/repair-1/REPAIR.txt"), b"mine".to_vec());
    log.disk
        .write_file(format!("{DIR}/repair-2/x"), b"mine too".to_vec());
    log.disk.corrupt(segment(1), |bytes| bytes[4096 + 50] ^= 1);
    let done = execute(plan(&log.disk).unwrap()).unwrap();
    assert!(done.folder.unwrap().ends_with("repair-3"));
    assert_eq!(
        log.disk.read(format!("{DIR}/repair-1/REPAIR.txt")).unwrap(),
        b"mine"
    );
}

/// A log with five records, a mark, 95 more records and a kill, in which all bytes from `at` on are
/// zero.
fn zeroed_after_a_mark(at: usize) -> SimDisk {
    let disk = SimDisk::new(3);
    run(async {
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for number in 0..100 {
            wal.append("x").await.unwrap();
            if number == 4 {
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            }
        }
        disk.kill();
    });
    disk.corrupt(segment(1), |bytes| bytes[at..].fill(0));
    let statement = survey(&disk, Depth::Headers).segments[0].statement;
    assert_eq!(statement.map(|mark| mark.lsn), Some(Lsn::new(5)));
    disk
}

/// A mark says what was durable at that time. The 95 records after it were acknowledged too.
#[test]
fn a_log_begins_anew_behind_all_that_a_marked_segment_has_room_for() {
    let disk = zeroed_after_a_mark(4096);
    let planned = plan(&disk).unwrap();
    let most = (16 * 1024 - 4096) / 20;
    assert_eq!((planned.kept.clone(), planned.next.get()), (None, most + 1));
    execute(planned).unwrap();
    assert_eq!(live_on(&disk).unwrap().0.get(), most + 1);
}

#[test]
fn behind_a_mark_nobody_knows_how_far_a_log_went() {
    let disk = zeroed_after_a_mark(4096 + 21);
    let planned = plan(&disk).unwrap();
    assert_eq!(planned.kept, Some(Lsn::FIRST..=Lsn::FIRST));
    assert_eq!(planned.reused, Some(Lsn::new(2)..=Lsn::new(5)));
    assert!(planned.may_reuse_more, "{planned}");
    let told = "The end of the log is unknown. LSNs from 2 on may be given out again.";
    assert!(planned.to_string().contains(told), "{planned}");
}

/// Nothing shows how long a shortened file was.
#[test]
fn a_log_that_lost_its_only_file_but_for_the_name_goes_on_far_behind_it() {
    let log = Sound::fresh(Stop::Clean);
    let [first, others @ ..] = &log.segments()[..] else {
        panic!("there are several segments")
    };
    others.iter().for_each(|path| {
        log.disk.remove_file(path);
    });
    log.disk.corrupt(first, Vec::clear);
    let planned = plan(&log.disk).unwrap();
    assert!(planned.next.get() > (1 << 32) / 20 - 1000, "{planned}");
}
