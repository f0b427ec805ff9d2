//! Damaged logs, and checks for all of them.

use tidewal::sim::SimDisk;
use tidewal::tools::{Depth, Ending, LogDir, Observer, RepairPlan, Survey};
use tidewal::{Corruption, Error, Lsn, Record, RecoveryReport, Wal};

use crate::harness::damage::{Damage, SEGMENT_LEN, STOPS, Sound, Stop};
use crate::harness::note_trial;
use crate::support::{DIR, options, run};

/// The result of a recovery.
pub struct Strict {
    /// The records that it delivers before its error, if any.
    pub records: Vec<Record>,
    pub outcome: Result<RecoveryReport, Error>,
}

impl Strict {
    pub fn read(disk: &SimDisk) -> Self {
        run(async {
            let mut records = Vec::new();
            let mut reader = match Wal::options().read_on(disk, DIR).await {
                Ok(reader) => reader,
                Err(error) => {
                    return Self {
                        records,
                        outcome: Err(error),
                    };
                }
            };
            loop {
                match reader.try_next().await {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => {
                        let outcome = Ok(reader.report().clone());
                        return Self { records, outcome };
                    }
                    Err(error) => {
                        return Self {
                            records,
                            outcome: Err(error),
                        };
                    }
                }
            }
        })
    }
}

/// Collects the records that a survey shows.
#[derive(Default)]
pub struct Collector(pub Vec<Record>);

impl Observer for Collector {
    fn record(&mut self, record: Record) {
        self.0.push(record);
    }
}

pub fn survey(disk: &SimDisk, depth: Depth) -> Survey {
    LogDir::on(disk, DIR).survey(depth).unwrap()
}

pub fn plan(disk: &SimDisk) -> Result<RepairPlan, Error> {
    LogDir::on(disk, DIR).plan_repair()
}

/// Checks that a survey and a recovery agree on a log. Returns the result of the recovery.
pub fn assert_agreement(disk: &SimDisk) -> Strict {
    note_trial();
    let strict = Strict::read(disk);
    let before = disk.fingerprint();
    let mut collector = Collector::default();
    let survey = LogDir::on(disk, DIR)
        .survey_with(Depth::Everything, &mut collector)
        .unwrap();
    assert_eq!(disk.fingerprint(), before, "a survey changes nothing");
    match &strict.outcome {
        Ok(report) => assert_sound(&survey, report, &strict.records, &collector.0),
        Err(Error::Corrupt(corruption)) => assert_has(&survey, corruption),
        Err(Error::Unsupported { .. }) => assert!(!survey.read_errors.is_empty()),
        Err(error) => panic!("{error:?}"),
    }
    let shown = |record: &Record| collector.0.contains(record);
    assert!(
        strict.records.iter().all(shown),
        "what recovery delivers can be read"
    );
    assert!(
        collector.0.windows(2).all(|pair| pair[0].lsn < pair[1].lsn)
            || survey
                .corruptions
                .iter()
                .any(|damage| damage.last < damage.first),
        "records come in order"
    );
    strict
}

fn assert_sound(survey: &Survey, report: &RecoveryReport, records: &[Record], shown: &[Record]) {
    assert!(
        survey.is_sound(),
        "recovery finds no damage: {:?}",
        survey.corruptions
    );
    assert_eq!(shown, records);
    assert_eq!(survey.records(), report.records);
    assert_eq!(survey.payload_bytes(), report.bytes);
    assert_eq!((survey.oldest, survey.end), (report.oldest, report.end));
    assert!(survey.proven <= survey.end);
    match (&survey.ending, &report.torn_tail) {
        (Some(Ending::TornTail(cut)), Some(other)) => assert_eq!(cut, other),
        (Some(Ending::Closed | Ending::Empty), None) => {}
        other => panic!("{other:?}"),
    }
}

/// Checks for the same damage at the same place. A survey may know more exactly which records are
/// lost.
fn assert_has(survey: &Survey, strict: &Corruption) {
    let is_it = |found: &&Corruption| {
        (found.kind, &found.segment, found.offset) == (strict.kind, &strict.segment, strict.offset)
    };
    let found = survey.corruptions.iter().find(is_it);
    let found = found.unwrap_or_else(|| panic!("{strict} is not in {:#?}", survey.corruptions));
    assert!(found.first >= strict.first, "{found} is not {strict}");
    let knows_more = strict.last < strict.first || found.last <= strict.last;
    assert!(knows_more, "{found} is not {strict}");
}

/// Every kind of log with every kind of damage of the harness, each on its own disk.
pub fn for_each_wreck(thin: usize, mut look: impl FnMut(&str, &Sound, &SimDisk)) {
    for log in logs() {
        for path in log.segments() {
            let sound = log.disk.read(&path).unwrap();
            for damage in damages(sound.len(), thin) {
                log.disk.corrupt(&path, |bytes| damage.apply(bytes));
                look(
                    &format!("{:?}: {path}: {damage:?}", log.stop),
                    &log,
                    &log.disk,
                );
                log.disk.write_file(&path, sound.clone());
            }
        }
        for (what, disk) in shuffled(&log) {
            look(&format!("{:?}: {what}", log.stop), &log, &disk);
        }
        for (what, disk) in doubly_damaged(&log) {
            look(&format!("{:?}: {what}", log.stop), &log, &disk);
        }
    }
}

fn logs() -> impl Iterator<Item = Sound> {
    let fresh = STOPS.into_iter().map(Sound::fresh);
    fresh.chain(STOPS.into_iter().map(Sound::recycled))
}

fn damages(len: usize, thin: usize) -> impl Iterator<Item = Damage> {
    let is_dense = |byte: usize| {
        byte < 80
            || (512..540).contains(&byte)
            || (1024..1050).contains(&byte)
            || (4096..4150).contains(&byte)
    };
    let bits = (0..len * 8).filter(move |bit| {
        if is_dense(bit / 8) {
            bit % thin == 0
        } else {
            bit % (251 * thin) == 0
        }
    });
    let sectors = (0..len / 512).filter(move |sector| sector % thin.min(2) == 0);
    let lens = (0..SEGMENT_LEN).step_by(97 * thin);
    bits.map(Damage::FlippedBit)
        .chain(sectors.map(Damage::ZeroedSector))
        .chain(lens.map(Damage::CutTo))
}

/// Missing, duplicated, swapped, foreign and renamed files, and combinations of two.
fn shuffled(log: &Sound) -> Vec<(String, SimDisk)> {
    let paths = log.segments();
    let foreign = Sound::foreign(Stop::Clean);
    let strangers = foreign.segments();
    let mut wrecks = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let other = &paths[(index + 1) % paths.len()];
        let missing = log.disk.fork();
        assert!(missing.remove_file(path));
        let alone = missing.fork();
        assert!(alone.remove_file(other));
        let duplicated = log.disk.fork();
        duplicated.write_file(path, log.disk.read(other).unwrap());
        let swapped = duplicated.fork();
        swapped.write_file(other, log.disk.read(path).unwrap());
        let replaced = log.disk.fork();
        let stranger = foreign
            .disk
            .read(&strangers[index % strangers.len()])
            .unwrap();
        replaced.write_file(path, stranger.clone());
        let renamed = missing.fork();
        renamed.write_file(segment(1000), log.disk.read(path).unwrap());
        let extended = log.disk.fork();
        extended.write_file(segment(900 + index as u64), stranger);
        let garbage = log.disk.fork();
        garbage.write_file(segment(2000), vec![0xa5; SEGMENT_LEN]);
        let absurd = log.disk.fork();
        absurd.write_file(segment(u64::MAX), vec![0xa5; SEGMENT_LEN]);
        let headless = log.disk.fork();
        paths
            .iter()
            .filter(|other| *other != path)
            .for_each(|other| {
                headless.remove_file(other);
            });
        let beginless = headless.fork();
        headless.corrupt(path, |bytes| bytes[20] ^= 1);
        beginless.corrupt(path, |bytes| bytes[4096 + 50] ^= 1);
        for (what, disk) in [
            ("alone without its header", headless),
            ("alone without its first record", beginless),
            ("missing", missing),
            ("missing with its neighbour", alone),
            ("duplicated", duplicated),
            ("swapped", swapped),
            ("replaced by a stranger", replaced),
            ("renamed", renamed),
            ("followed by a stranger", extended),
            ("followed by garbage", garbage),
            ("followed by garbage with an absurd name", absurd),
        ] {
            wrecks.push((format!("{path} {what}"), disk));
        }
    }
    wrecks
}

/// Damage at two places.
fn doubly_damaged(log: &Sound) -> Vec<(String, SimDisk)> {
    let places = [10, 1030, 4100, 4130, 7000, 9130];
    let paths = log.segments();
    let mut wrecks = Vec::new();
    for one in &paths {
        for other in &paths {
            for (first, second) in places.iter().flat_map(|a| places.map(|b| (*a, b))) {
                let disk = log.disk.fork();
                disk.corrupt(one, |bytes| bytes[first] ^= 0x10);
                disk.corrupt(other, |bytes| bytes[second] ^= 0x04);
                wrecks.push((format!("{one} at {first}, {other} at {second}"), disk));
            }
        }
    }
    wrecks
}

pub fn segment(base: u64) -> String {
    format!("{DIR}/{base:020}.wal")
}

/// Everything in the log's directory and in its folders.
pub fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let folders = (1..20).map(|number| format!("{DIR}/repair-{number}"));
    std::iter::once(DIR.to_owned())
        .chain(folders)
        .flat_map(|dir| {
            let names = disk.files(&dir).into_iter();
            names
                .map(move |name| format!("{dir}/{name}"))
                .collect::<Vec<_>>()
        })
        .map(|path| {
            let bytes = disk.read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

/// Opens the log as a service does, appends, closes, and reads it all.
pub fn live_on(disk: &SimDisk) -> Result<(Lsn, Vec<Record>), Error> {
    run(async {
        let wal = options().open_on(disk, DIR).await?;
        let lsn = wal.append("life goes on").await?;
        wal.close().await?;
        let mut reader = options().read_on(disk, DIR).await?;
        let mut records = Vec::new();
        while let Some(record) = reader.try_next().await? {
            records.push(record);
        }
        Ok((lsn, records))
    })
}
