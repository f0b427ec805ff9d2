//! Who may have a directory open together with whom, and when it is free again (promise P6).
//!
//! On the real disk, because the lock is the operating system's; virtual time shows that a refusal
//! comes at once.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn, Reader, Record, Recovery, TornTailReason, Wal};
use tidewal_testing::support::{self, DIR, options};

// ---- While it is open ------------------------------------------------------------------------

#[test]
fn nobody_else_gets_a_log_that_is_open() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        assert_locked(&dir, &WAYS).await;
        assert_eq!(wal.append("still works").await.unwrap(), Lsn::FIRST);
        assert_locked(&dir, &WAYS).await;
        wal.close().await.unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn nobody_else_gets_a_log_of_which_one_handle_is_left() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let last = wal.clone();
        drop(wal);
        assert_locked(&dir, &WAYS).await;
        drop(last);
        assert_free(&dir).await;
    });
}

#[test]
fn nobody_else_gets_a_log_that_is_being_recovered() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let mut recovery = options().recover(&dir).await.unwrap();
        assert_locked(&dir, &WAYS).await;
        recovery.try_next().await.unwrap().unwrap();
        assert_locked(&dir, &WAYS).await;
        while recovery.try_next().await.unwrap().is_some() {}
        assert_locked(&dir, &WAYS).await;
        let wal = recovery.into_wal().await.unwrap();
        assert_locked(&dir, &WAYS).await;
        wal.close().await.unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn readers_share_a_log_and_keep_appenders_out() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let first = options().read(&dir).await.unwrap();
        let second = options().read(&dir).await.unwrap();
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(read_all(first).await.len(), 10);
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(read_all(second).await.len(), 10);
        assert_free(&dir).await;
    });
}

#[test]
fn logs_beside_and_below_each_other_do_not_disturb() {
    on_disk(async |dir| {
        let dirs = [dir.clone(), dir.join("below"), dir.with_file_name("beside")];
        let wals = join_all(dirs.iter().map(|dir| options().open(dir))).await;
        for wal in wals {
            let wal = wal.unwrap();
            assert_eq!(wal.append("mine").await.unwrap(), Lsn::FIRST);
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn a_log_is_the_same_by_whatever_path() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let mut paths = vec![dir.join("."), dir.join("../log"), dir.join("")];
        #[cfg(unix)]
        {
            let link = dir.with_file_name("link");
            std::os::unix::fs::symlink(&dir, &link).unwrap();
            paths.push(link);
        }
        for path in paths {
            assert_locked(&path, &WAYS).await;
        }
        wal.close().await.unwrap();
    });
}

#[test]
fn a_refusal_comes_at_once() {
    support::run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let start = tokio::time::Instant::now();
        let refusals = async {
            [
                options().open_on(&disk, DIR).await.unwrap_err(),
                options().recover_on(&disk, DIR).await.unwrap_err(),
                options().read_on(&disk, DIR).await.unwrap_err(),
            ]
        };
        let refusals = tokio::time::timeout(Duration::from_secs(60), refusals).await;
        for error in refusals.expect("no opener waits for a log that is not closing") {
            assert_says_locked(&error, Path::new(DIR));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        wal.close().await.unwrap();
    });
}

#[test]
fn whoever_is_refused_changes_nothing() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let reader = options().read(&dir).await.unwrap();
        let before = listing(&dir);
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(listing(&dir), before);
        assert_eq!(read_all(reader).await.len(), 10);
    });
}

// ---- When it is free again -------------------------------------------------------------------

#[test]
fn a_log_is_free_once_it_is_closed() {
    on_disk(async |dir| {
        for round in 0..20 {
            let wal = options().open(&dir).await.unwrap();
            let other = wal.clone();
            let lsn = wal.append("record").await.unwrap();
            assert_eq!(lsn, Lsn::new(round + 1));
            wal.close().await.unwrap();
            // The other handle is of no consequence.
            assert_free(&dir).await;
            drop(other);
        }
    });
}

/// A path of its own stands for another process: only the same path is waited for in this one.
#[cfg(unix)]
#[test]
fn a_log_that_was_closed_need_not_be_waited_for() {
    on_disk(async |dir| {
        std::fs::create_dir(&dir).unwrap();
        let link = dir.with_file_name("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        for _ in 0..20 {
            let wal = options().open(&dir).await.unwrap();
            submit(&wal, 10).await;
            wal.close().await.unwrap();
            assert_free(&link).await;
        }
    });
}

#[test]
fn a_log_is_free_once_its_recovery_is_dropped() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        for to_read in 0..=11 {
            let mut recovery = options().recover(&dir).await.unwrap();
            for _ in 0..to_read {
                recovery.try_next().await.unwrap();
            }
            drop(recovery);
            assert_free(&dir).await;
        }
    });
}

#[test]
fn a_log_is_free_once_opening_it_has_failed() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        let beyond = options().start_at(Lsn::new(100));
        let recovery = beyond.recover(&dir).await.unwrap();
        let error = recovery.into_wal().await.unwrap_err();
        assert!(matches!(error, Error::BeyondEnd { .. }), "{error:?}");
        assert_free(&dir).await;

        let segment = dir.join("00000000000000000001.wal");
        let bytes = std::fs::read(&segment).unwrap();
        std::fs::write(&segment, "no segment").unwrap();
        let error = options().open(&dir).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
        std::fs::write(&segment, bytes).unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn reopening_waits_for_a_log_whose_last_handle_was_dropped() {
    on_disk(async |dir| {
        for round in 0..10 {
            let wal = options().open(&dir).await.unwrap();
            submit(&wal, 100).await;
            drop(wal);
            let mut recovery = options().recover(&dir).await.unwrap();
            let records = collect(&mut recovery).await;
            assert_eq!(records.len(), (round + 1) * 100);
            assert_eq!(
                recovery.report().torn_tail,
                None,
                "it was closed in the background"
            );
        }
    });
}

#[test]
fn every_way_of_reopening_waits() {
    on_disk(async |dir| {
        for (round, way) in WAYS.into_iter().cycle().take(9).enumerate() {
            let wal = options().open(&dir).await.unwrap();
            submit(&wal, 50).await;
            drop(wal);
            way.go(&dir).await.unwrap();
            let wal = options().open(&dir).await.unwrap();
            assert_eq!(wal.durable_lsn().get(), (round as u64 + 1) * 50);
        }
    });
}

#[test]
fn of_many_who_wait_for_a_closing_log_one_gets_it() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        submit(&wal, 500).await;
        drop(wal);
        let opened = join_all((0..8).map(|_| options().open(&dir))).await;
        let (winners, losers): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert_eq!(winners.len(), 1);
        for loser in losers {
            assert_says_locked(&loser.unwrap_err(), &dir);
        }
        for winner in winners {
            let wal = winner.unwrap();
            assert_eq!(wal.durable_lsn(), Lsn::new(500));
            wal.close().await.unwrap();
        }
    });
}

#[test]
fn all_readers_who_wait_for_a_closing_log_get_it() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        submit(&wal, 500).await;
        drop(wal);
        for reader in join_all((0..8).map(|_| options().read(&dir))).await {
            assert_eq!(read_all(reader.unwrap()).await.len(), 500);
        }
    });
}

#[test]
fn reopening_waits_for_a_close_that_nobody_awaits() {
    on_disk(async |dir| {
        let wal = options().open(&dir).await.unwrap();
        let other = wal.clone();
        submit(&wal, 100).await;
        let mut closing = Box::pin(wal.close());
        assert!(futures::poll!(closing.as_mut()).is_pending());
        drop(closing);
        assert_eq!(
            read_all(options().read(&dir).await.unwrap()).await.len(),
            100
        );
        let error = other.append("too late").await.unwrap_err();
        assert!(matches!(error, Error::Closed), "{error:?}");
    });
}

#[test]
fn an_opening_that_is_dropped_gives_the_log_free() {
    on_disk(async |dir| {
        fill(&dir, 10).await;
        for polls in 0..20 {
            let mut opening = Box::pin(options().open(&dir));
            for _ in 0..polls {
                if futures::poll!(opening.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(opening);
            let wal = open_once_free(&dir).await;
            assert_eq!(wal.durable_lsn(), Lsn::new(10));
            wal.close().await.unwrap();
        }
    });
}

// ---- Other processes -------------------------------------------------------------------------

#[test]
fn a_log_that_another_process_appends_to_is_locked_until_that_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let holder = Holder::start(&dir, Way::Open);
    within_a_minute(async {
        assert_locked(&dir, &WAYS).await;
        holder.kill();
        let mut recovery = options().recover(&dir).await.unwrap();
        let records = collect(&mut recovery).await;
        assert_eq!(records.len(), HELD_RECORDS, "all of them were acknowledged");
        let cut = recovery
            .report()
            .torn_tail
            .clone()
            .expect("it was not closed");
        assert_eq!(cut.reason, TornTailReason::NoRecord);
        assert_eq!(cut.lsn, Lsn::new(HELD_RECORDS as u64 + 1));
        recovery.into_wal().await.unwrap().close().await.unwrap();
        assert_free(&dir).await;
    });
}

#[test]
fn a_log_that_another_process_recovers_is_locked_until_that_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    within_a_minute(fill(&dir, 10));
    let holder = Holder::start(&dir, Way::Recover);
    within_a_minute(async {
        assert_locked(&dir, &WAYS).await;
        holder.kill();
        assert_free(&dir).await;
    });
}

#[test]
fn a_log_that_another_process_reads_can_be_read_and_not_appended_to() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    within_a_minute(fill(&dir, 10));
    let holder = Holder::start(&dir, Way::Read);
    within_a_minute(async {
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        let reader = options().read(&dir).await.unwrap();
        holder.kill();
        assert_locked(&dir, &[Way::Open, Way::Recover]).await;
        assert_eq!(read_all(reader).await.len(), 10);
        assert_free(&dir).await;
    });
}

/// What a [`Holder`] runs.
#[test]
#[ignore = "the tests above run it, in a process of its own"]
fn hold_a_log() {
    let Some(dir) = std::env::var_os(HELD_DIR).map(PathBuf::from) else {
        return;
    };
    let way = std::env::var(HELD_WAY).unwrap();
    within_a_minute(async {
        match Way::of(&way) {
            Way::Open => {
                let wal = options().open(&dir).await.unwrap();
                append(&wal, HELD_RECORDS).await;
                report_and_wait();
                drop(wal);
            }
            Way::Recover => {
                let recovery = options().recover(&dir).await.unwrap();
                report_and_wait();
                drop(recovery);
            }
            Way::Read => {
                let reader = options().read(&dir).await.unwrap();
                report_and_wait();
                drop(reader);
            }
        }
    });
}

/// Tells the parent that the log is held, and waits to be killed, or for the parent's end.
fn report_and_wait() {
    eprintln!("{HELD}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// This test binary as another process, which has a log open.
struct Holder(Child);

impl Holder {
    /// Returns once it has the log.
    fn start(dir: &Path, way: Way) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["hold_a_log", "--exact", "--ignored", "--nocapture"])
            .env(HELD_DIR, dir)
            .env(HELD_WAY, way.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = {
            let _alone = FORKS.write().unwrap_or_else(PoisonError::into_inner);
            command.spawn().unwrap()
        };
        let said = BufReader::new(child.stderr.take().unwrap());
        let holder = Self(child);
        let mut lines = Vec::new();
        for line in said.lines().map_while(Result::ok) {
            if line == HELD {
                return holder;
            }
            lines.push(line);
        }
        panic!("the other process has failed: {lines:#?}");
    }

    /// As `kill -9` does it. Returns once the process is gone.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Whatever fails here, it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child that is being started inherits the lock files of this process for a moment, until it is
/// replaced by its program. So starting one excludes whoever relies on a log being free.
static FORKS: RwLock<()> = RwLock::new(());

const HELD: &str = "held";
const HELD_DIR: &str = "TIDEWAL_TEST_HELD_DIR";
const HELD_WAY: &str = "TIDEWAL_TEST_HELD_WAY";
const HELD_RECORDS: usize = 50;

// ---- Ways into a log -------------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Way {
    Open,
    Recover,
    Read,
}

const WAYS: [Way; 3] = [Way::Open, Way::Recover, Way::Read];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Recover => "recover",
            Self::Read => "read",
        }
    }

    fn of(name: &str) -> Self {
        let named = WAYS.into_iter().find(|way| way.name() == name);
        named.unwrap()
    }

    /// Goes in and out again.
    async fn go(self, dir: &Path) -> Result<(), Error> {
        match self {
            Self::Open => options().open(dir).await?.close().await,
            Self::Recover => options().recover(dir).await.map(drop),
            Self::Read => options().read(dir).await.map(drop),
        }
    }
}

async fn assert_locked(dir: &Path, ways: &[Way]) {
    for way in ways {
        match way.go(dir).await {
            Ok(()) => panic!("{way:?} got in"),
            Err(error) => assert_says_locked(&error, dir),
        }
    }
}

fn assert_says_locked(error: &Error, expected: &Path) {
    let Error::Locked { dir, holder, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(dir, expected);
    let message = format!("{} is in use: {holder}", expected.display());
    assert_eq!(error.to_string(), message);
    assert!(holder.contains("process"), "who has it: {holder}");
    assert!(!error.is_outcome_unknown());
}

/// Checks that the log can be had at once, in every way, one after the other.
async fn assert_free(dir: &Path) {
    for way in WAYS {
        if let Err(error) = way.go(dir).await {
            panic!("{way:?}: {error}");
        }
    }
}

/// Opens a log that somebody is about to give free.
async fn open_once_free(dir: &Path) -> Wal {
    loop {
        match options().open(dir).await {
            Err(Error::Locked { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

async fn fill(dir: &Path, records: usize) {
    let wal = options().open(dir).await.unwrap();
    append(&wal, records).await;
    wal.close().await.unwrap();
}

async fn append(wal: &Wal, records: usize) {
    for result in join_all((0..records).map(|_| wal.append("record"))).await {
        result.unwrap();
    }
}

/// Leaves the answers alone.
async fn submit(wal: &Wal, records: usize) {
    for _ in 0..records {
        drop(wal.submit("record").await.unwrap());
    }
}

async fn collect(recovery: &mut Recovery) -> Vec<Record> {
    recovery.try_collect().await.unwrap()
}

async fn read_all(reader: Reader) -> Vec<Record> {
    reader.try_collect().await.unwrap()
}

fn listing(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Runs a test with a directory of its own, not yet created.
fn on_disk(test: impl AsyncFnOnce(PathBuf)) {
    let parent = tempfile::tempdir().unwrap();
    within_a_minute(test(parent.path().join("log")));
}

/// Runs a test that must not hang, while no process is being started.
fn within_a_minute<T>(test: impl Future<Output = T>) -> T {
    let _no_forks = FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let minute = Duration::from_secs(60);
    runtime
        .block_on(async { tokio::time::timeout(minute, test).await })
        .expect("no opener waits forever")
}
