//! Records that a crash left after a hole in a file that is recycled, and that fit into the new
//! segment.

use tidewal::sim::{SimDisk, Survival};

use crate::harness::oracle::Oracle;
use crate::harness::steps::Driver;
use crate::harness::steps::Step::{Append, Idle, Together, Truncate};
use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

/// With its header, each record takes two sectors.
const LEN: usize = 1024 - 20;

/// Alone in its segment.
const LARGE: usize = 11_000;

/// The power cut loses the first sector of records 2 to 5, so the log ends before them. The new
/// record 4 is the first one in the same file, and ends where the old record 5 begins.
pub fn leftovers_never_come_back() {
    let with_leftovers = (0..16).filter(|&seed| bring_back(seed)).count();
    assert!(with_leftovers > 0, "no file had anything left in it");
}

/// Returns whether the old record 5 was still in the file.
fn bring_back(seed: u64) -> bool {
    let _label = Label(format!("seed {seed}"));
    note_trial();
    let disk = SimDisk::new(seed);
    let options = options();
    let without_spares = options.clone().spare_segments(0);
    let mut oracle = Oracle::default();
    let mut driver = Driver::new(&disk, &without_spares, &mut oracle);
    run(async {
        // The mark of an idle log proves that the record is durable, so the file itself is used again.
        let wal = driver.start(&[Append(LEN), Idle]).await.unwrap();
        disk.cut_power_at(disk.operations());
        driver.go_on(wal, &[Together(4, LEN)]).await.unwrap_err();
    });
    // The mark is one more piece, before those of the records.
    disk.restart(Survival::Pieces(0b1_1111_1101));
    driver.options = &options;
    run(async {
        let wal = driver.recover().await.unwrap();
        let make_room = [Append(LARGE), Idle, Truncate(1), Idle, Append(LARGE), Idle];
        let wal = driver.go_on(wal, &make_room).await.unwrap();
        driver.go_on(wal, &[Append(4 * 1024 - 20)]).await.unwrap();
    });
    let reused = disk
        .read(format!("{DIR}/00000000000000000004.wal"))
        .unwrap();
    disk.restart(Survival::Nothing);
    run(async { driver.recover().await.map(drop).unwrap() });
    reused[4096 + 4 * 1024..][..1024]
        .iter()
        .any(|&byte| byte != 0)
}
