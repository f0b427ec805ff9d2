//! Power cuts while a log is copied: the copy is complete, or marked as unfinished, or does not exist.

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Error, Lsn};

use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

/// The directory of the copy.
const COPY: &str = "copy";

/// The last record of the log.
const LAST: u64 = 40;

/// Cuts the power at each operation of a backup, and checks what is left of the copy.
pub fn a_copy_is_whole_or_says_that_it_is_not() {
    for cut in 0.. {
        let (disk, is_done) = run(back_up(cut));
        for (seed, survival) in survivals(&disk).into_iter().enumerate() {
            note_trial();
            let _label = Label(format!("operation {cut}, {survival:?}, seed {seed}"));
            let disk = disk.fork();
            disk.reseed(seed as u64);
            disk.restart(survival);
            run(check(&disk, is_done));
        }
        if is_done {
            break;
        }
    }
}

/// Copies a log of several segments until the power is cut. Returns whether the copy was finished.
async fn back_up(cut: u64) -> (SimDisk, bool) {
    let disk = SimDisk::new(1);
    let wal = options().open_on(&disk, DIR).await.unwrap();
    for _ in 1..=LAST {
        wal.append(vec![b'.'; 1000]).await.unwrap();
    }
    disk.cut_power_at(disk.operations() + cut);
    let copied = wal.backup(COPY).await;
    (disk, copied.is_ok())
}

fn survivals(disk: &SimDisk) -> Vec<Survival> {
    let prefixes = (0..=disk.volatile_changes()).map(Survival::Prefix);
    prefixes.chain([Survival::Random; 8]).collect()
}

async fn check(disk: &SimDisk, is_done: bool) {
    let mut names = disk.files(COPY);
    names.retain(|name| name != "LOCK");
    let opened = options().open_on(disk, COPY).await;
    match opened {
        Ok(wal) if is_done || !names.is_empty() => assert_eq!(wal.durable_lsn(), Lsn::new(LAST)),
        Ok(wal) => assert_eq!(wal.durable_lsn(), Lsn::ZERO),
        Err(Error::UnfinishedRestore { .. }) => assert!(!is_done),
        Err(error) => panic!("{error}; files {names:?}"),
    }
}
