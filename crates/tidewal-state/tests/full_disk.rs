//! A state machine that fills a file system of the machine: it is refused, takes a snapshot into the space that
//! it has reserved, and works again. On a tmpfs and on an ext4 image.
//!
//! They need root, and loop devices for ext4. If something is missing, the test names it on stderr and is skipped,
//! or fails with `TIDEWAL_FILE_SYSTEMS=required`.
#![cfg(target_os = "linux")]

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tidewal::typed::{Json, Logged};
use tidewal::{Lsn, Wal};
use tidewal_state::{Error, Options, State, StateMachine};
use tidewal_testing::file_systems::{EXT4, Kind, Mounted, TMPFS, Unavailable, note};
use tidewal_testing::support::within_a_minute;

/// The newest texts, and how many there were.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Newest {
    count: u64,
    texts: VecDeque<String>,
}

#[derive(Deserialize, Serialize)]
struct Put(String);

impl Logged for Put {
    type Codec = Json;
}

impl State for Newest {
    type Command = Put;
    type Output = u64;
    type Snapshot = Json;

    fn apply(&mut self, _: Lsn, Put(text): Put) -> u64 {
        self.texts.push_back(text);
        if self.texts.len() > KEPT {
            self.texts.pop_front();
        }
        self.count += 1;
        self.count
    }
}

type Machine = StateMachine<Newest>;

/// A mounted file system.
struct Volume {
    // Fields are dropped in this order.
    _mounted: Mounted,
    dir: TempDir,
}

impl Volume {
    fn new(kind: Kind) -> Result<Self, Unavailable> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let image = dir.path().join("image");
        kind.make(&image)?;
        let mounted = Mounted::image(&kind, &image, &dir.path().join("mount"))?;
        Ok(Self {
            _mounted: mounted,
            dir,
        })
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("mount").join("state")
    }
}

fn options() -> Options<Newest> {
    let log = Wal::options().segment_size(1 << 20).spare_segments(0);
    StateMachine::options().log(log)
}

/// Executes a batch after `count` commands. Returns whether the disk had room for it.
async fn execute(machine: &Machine, count: &mut u64) -> bool {
    let numbers = *count + 1..=*count + BATCH;
    let batch = numbers.clone().map(|number| Put(text(number)));
    match machine.execute_batch(batch).await {
        Ok(outputs) => {
            let expected: Vec<_> = numbers.collect();
            assert_eq!(outputs, expected, "what was refused is not applied");
            *count += BATCH;
            true
        }
        Err(Error::Log(tidewal::Error::StorageFull(_))) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// Executes batches until the disk refuses one, and then until the snapshot has made room for it.
async fn fill(machine: &Machine, count: &mut u64) {
    while execute(machine, count).await {}
    while !execute(machine, count).await {
        let error = machine.stats().snapshot_error;
        assert!(error.is_none(), "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The reserved file was often longer than the snapshot that it became, and the rest was not freed.
fn check_snapshots(dir: &Path, len: u64) {
    let files = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut snapshots = files.filter(|file| file.extension().is_some_and(|end| end == "snapshot"));
    let is_small = |file: PathBuf| file.metadata().unwrap().blocks() * 512 < 2 * len;
    assert!(
        snapshots.all(is_small),
        "a snapshot of {len} bytes takes more"
    );
}

async fn fill_and_free(dir: &Path) {
    let mut count = 0;
    for start in 0..2 {
        let machine = options().open(dir).await.unwrap();
        assert_eq!(machine.query(|state| state.count).unwrap(), count);
        for _ in 0..3 {
            fill(&machine, &mut count).await;
        }
        let stats = machine.stats();
        // One snapshot may answer several refusals.
        assert!(stats.snapshots > 0, "{stats:?}");
        check_snapshots(dir, stats.snapshot_len);
        let expected = machine.query(Newest::clone).unwrap();
        assert_eq!(expected.texts.back(), Some(&text(count)));
        match start {
            0 => machine.close().await.unwrap(),
            // The log closes in the background, and opening it waits for that.
            _ => drop(machine),
        }
        let machine = options().open(dir).await.unwrap();
        assert_eq!(machine.query(Newest::clone).unwrap(), expected);
        machine.close().await.unwrap();
    }
}

/// 16 KiB.
fn text(number: u64) -> String {
    format!("{number:16384}")
}

/// Runs the test if its requirements are available. Otherwise prints what is missing.
fn on(kind: Kind) {
    match Volume::new(kind) {
        Ok(volume) => within_a_minute(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(fill_and_free(&volume.state()));
            drop(runtime);
        }),
        Err(reason) if std::env::var_os("TIDEWAL_FILE_SYSTEMS").is_none() => {
            note(&format!("skipped on {}: {reason}", kind.name));
        }
        Err(reason) => panic!("{}: {reason}", kind.name),
    }
}

#[test]
fn a_state_machine_frees_a_full_tmpfs() {
    on(TMPFS);
}

#[test]
fn a_state_machine_frees_a_full_ext4() {
    on(EXT4);
}

/// The commands of a batch.
const BATCH: u64 = 8;

/// The state takes about 2 MiB.
const KEPT: usize = 128;
