//! What has to hold for any files.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn, Record, RecoveryReport, Wal, WalOptions};
use tokio::runtime::Runtime;

use super::files::{Entry, Files};
use super::format::Refusal;
use super::reader::{self, End};

pub const DIR: &str = "log";

/// What the log says about a directory.
#[derive(Debug)]
pub struct Reading {
    pub records: Vec<Entry>,
    pub oldest: u64,
    pub outcome: Result<End, Error>,
}

thread_local! {
    /// One for all inputs: each has a disk of its own, and nothing else is shared.
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime that needs nothing");
}

/// Runs in virtual time. What waits for something that never comes fails.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let bounded = async {
        tokio::time::timeout(DOOMSDAY, work)
            .await
            .expect("it hangs")
    };
    RUNTIME.with(|runtime| runtime.block_on(bounded))
}

/// The smallest segments there are.
pub fn options() -> WalOptions {
    Wal::options().segment_size(16 * 1024)
}

/// A disk with these files.
pub fn disk_with(files: &Files) -> SimDisk {
    let disk = SimDisk::new(3);
    // Creates the directory first. Foreign files in it must not matter.
    disk.write_file(format!("{DIR}/{BYSTANDER}"), Vec::new());
    for (name, bytes) in files {
        disk.write_file(format!("{DIR}/{name}"), bytes.clone());
    }
    disk
}

/// All files of the log's directory.
pub fn files_on(disk: &SimDisk) -> Files {
    let with_bytes = |name: String| {
        let bytes = disk.read(format!("{DIR}/{name}")).expect("it is listed");
        (name, bytes)
    };
    let files = disk.files(DIR).into_iter().map(with_bytes);
    files.filter(|(name, _)| name != BYSTANDER).collect()
}

/// Reads a directory in every way and checks what has to hold for any files. Returns what was read.
pub fn check(files: &Files) -> Reading {
    check_memory(files);
    let disk = disk_with(files);
    let reading = run(read(&disk, options()));
    assert_eq!(run(read(&disk, options())), reading, "read twice");
    assert_eq!(run(recover(&disk)), reading, "recovered");
    assert_eq!(files_on(&disk), *files, "reading changes no file");
    check_density(&reading);
    compare(&reading, &reader::read(files));
    match &reading.outcome {
        Ok(end) => {
            check_start(&disk, &reading);
            match end.lsn <= APPENDED_MAX {
                true => check_going_on(&disk, &reading, end.lsn),
                false => check_exhausted(&disk, files),
            }
        }
        Err(error) => {
            check_error(error);
            check_refusal(&disk, files);
        }
    }
    reading
}

/// Reads a directory, and checks nothing.
pub fn read_files(files: &Files) -> Reading {
    run(read(&disk_with(files), options()))
}

/// Reads without keeping the records.
///
/// Every byte of a file makes at most a few of memory: the block that it is read into, and 40 for a
/// record that takes 20 on disk, in a vector that may just be moving. An unchecked length would ask for
/// up to 4 GiB.
fn check_memory(files: &Files) {
    let disk = disk_with(files);
    let total: usize = files.values().map(Vec::len).sum();
    let limit = 320 * 1024 + 8 * total as u64;
    let info = allocation_counter::measure(|| {
        run(async {
            let Ok(mut reader) = options().read_on(&disk, DIR).await else {
                return;
            };
            while let Ok(Some(_)) = reader.try_next().await {}
        });
    });
    let peak = info.bytes_max;
    assert!(peak <= limit, "{peak} bytes of memory for {total} of files");
}

async fn read(disk: &SimDisk, options: WalOptions) -> Reading {
    let mut reading = Reading::new();
    match options.read_on(disk, DIR).await {
        Ok(mut reader) => loop {
            match reader.try_next().await {
                Ok(Some(record)) => reading.push(&record),
                Ok(None) => return reading.ended(reader.report()),
                Err(error) => return reading.failed(error),
            }
        },
        Err(error) => reading.failed(error),
    }
}

/// The same through a recovery that is dropped at its end, after one that was dropped at its beginning.
async fn recover(disk: &SimDisk) -> Reading {
    drop(options().recover_on(disk, DIR).await);
    let mut reading = Reading::new();
    match options().recover_on(disk, DIR).await {
        Ok(mut recovery) => loop {
            match recovery.try_next().await {
                Ok(Some(record)) => reading.push(&record),
                Ok(None) => return reading.ended(recovery.report()),
                Err(error) => return reading.failed(error),
            }
        },
        Err(error) => reading.failed(error),
    }
}

impl Reading {
    fn new() -> Self {
        Self {
            records: Vec::new(),
            oldest: 0,
            outcome: Ok(End::default()),
        }
    }

    fn push(&mut self, record: &Record) {
        self.records
            .push((record.lsn.get(), record.payload.to_vec()));
    }

    fn failed(self, error: Error) -> Self {
        Self {
            outcome: Err(error),
            ..self
        }
    }

    fn ended(self, report: &RecoveryReport) -> Self {
        assert_eq!(report.records, self.records.len() as u64);
        let bytes: usize = self.records.iter().map(|(_, payload)| payload.len()).sum();
        assert_eq!(report.bytes, bytes as u64);
        let cut = report.torn_tail.as_ref().map(|cut| {
            assert_eq!(cut.lsn, report.end.next());
            let offset = usize::try_from(cut.offset).expect("it lies in the file");
            (name_of(&cut.segment), offset, cut.reason.label())
        });
        let lsn = report.end.get();
        Self {
            oldest: report.oldest.get(),
            outcome: Ok(End { lsn, cut }),
            ..self
        }
    }
}

/// Errors are compared by what they say.
impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        let outcomes = match (&self.outcome, &other.outcome) {
            (Ok(end), Ok(other)) => end == other,
            (Err(error), Err(other)) => format!("{error:?}") == format!("{other:?}"),
            _ => false,
        };
        outcomes && self.oldest == other.oldest && self.records == other.records
    }
}

/// Promise P2.
fn check_density(reading: &Reading) {
    for pair in reading.records.windows(2) {
        assert_eq!(pair[0].0.checked_add(1), Some(pair[1].0), "LSNs are dense");
    }
    if let Ok(end) = &reading.outcome {
        let next = end.lsn.saturating_add(1);
        let first = reading.records.first().map_or(next, |(lsn, _)| *lsn);
        let last = reading.records.last().map_or(end.lsn, |(lsn, _)| *lsn);
        assert_eq!((first, last), (reading.oldest, end.lsn), "none is missing");
    }
}

/// The log reads what the document says.
fn compare(reading: &Reading, document: &reader::Reading) {
    let expected = &document.outcome;
    assert_eq!(
        reading.outcome.as_ref().ok(),
        expected.as_ref().ok(),
        "the log says {:?}, the document {expected:?}",
        reading.outcome
    );
    if let (Err(error), Err(refusal)) = (&reading.outcome, expected) {
        let is_later = matches!(error, Error::Unsupported { .. });
        let is_expected = matches!(refusal, Refusal::Later(_));
        assert_eq!(is_later, is_expected, "{error:?}, not {refusal:?}");
    }
    assert_eq!(reading.records, document.records, "the document differs");
    if expected.is_ok() {
        assert_eq!(reading.oldest, document.oldest, "the document differs");
    }
}

/// No fault was injected, so that damage is all there can be, and it has a place.
fn check_error(error: &Error) {
    let segment = match error {
        Error::Corrupt(corruption) => &corruption.segment,
        Error::Unsupported { segment, .. } => segment,
        error => panic!("not about damage: {error:?}"),
    };
    assert_eq!(segment.parent(), Some(Path::new(DIR)));
    assert_eq!(segment.extension(), Some("wal".as_ref()));
}

/// A log that cannot be read is not opened, and keeps every byte.
fn check_refusal(disk: &SimDisk, files: &Files) {
    run(async {
        if let Ok(recovery) = options().recover_on(disk, DIR).await {
            let error = recovery.into_wal().await.expect_err("it cannot be read");
            check_error(&error);
        }
    });
    assert_eq!(files_on(disk), *files, "a refusal changes no file");
}

/// A log without LSNs for more records can be read, and keeps every byte.
fn check_exhausted(disk: &SimDisk, files: &Files) {
    let opened = run(options().open_on(disk, DIR));
    let error = opened.expect_err("there are no LSNs left");
    assert!(matches!(error, Error::LsnsExhausted { .. }), "{error:?}");
    assert_eq!(files_on(disk), *files, "a refusal changes no file");
}

/// From a record in the middle on, the log is the same.
fn check_start(disk: &SimDisk, reading: &Reading) {
    let middle = reading.records.len() / 2;
    let Some((lsn, _)) = reading.records.get(middle) else {
        return;
    };
    let rest = run(read(disk, options().start_at(Lsn::new(*lsn))));
    assert_eq!(rest.records, reading.records[middle..], "start_at");
    assert_eq!(rest.outcome.ok().as_ref(), reading.outcome.as_ref().ok());
}

/// The log keeps working, after a recovery as after a plain open: append, close, read again.
fn check_going_on(disk: &SimDisk, reading: &Reading, end: u64) {
    let strangers = strangers_on(disk);
    for recovers in [true, false] {
        let disk = disk.fork();
        run(async {
            let wal = match recovers {
                true => {
                    options()
                        .recover_on(&disk, DIR)
                        .await
                        .unwrap()
                        .into_wal()
                        .await
                }
                false => options().open_on(&disk, DIR).await,
            };
            let wal = wal.expect("what was read can be gone on from");
            let lsn = wal.append(MORE).await.expect("it takes records");
            assert_eq!(lsn.get(), end + 1, "the next LSN");
            wal.close().await.expect("it closes");
        });
        let mut expected = reading.records.clone();
        expected.push((end + 1, MORE.to_vec()));
        let again = run(read(&disk, options()));
        assert_eq!(again.records, expected, "recovers: {recovers}");
        let clean = End {
            lsn: end + 1,
            cut: None,
        };
        assert_eq!(again.outcome.expect("it can be read"), clean);
        assert_eq!(again.oldest, reading.oldest);
        assert_eq!(strangers_on(&disk), strangers, "others' files");
    }
}

/// The files that are not the log's.
fn strangers_on(disk: &SimDisk) -> Files {
    let is_ours = |name: &str| {
        let number = name.strip_suffix(".wal").or(name.strip_suffix(".spare"));
        number.is_some_and(|number| number.len() == 20 && number.parse::<u64>().is_ok())
    };
    let files = files_on(disk).into_iter();
    files.filter(|(name, _)| !is_ours(name)).collect()
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().expect("a file has a name");
    name.to_string_lossy().into_owned()
}

/// Longer than anything takes in virtual time.
const DOOMSDAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// The last record of a log that is appended to.
const APPENDED_MAX: u64 = u64::MAX - (1 << 56);

const BYSTANDER: &str = "bystander";

const MORE: &[u8] = b"one more";
