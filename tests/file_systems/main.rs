//! ext4, XFS and btrfs, on images of their own: `kill -9`, disks that are really full, and power
//! cuts under the file system.
//!
//! They need root, loop devices, FUSE for the power cuts, and the programs that make the file
//! systems (Debian: e2fsprogs, xfsprogs, btrfs-progs, mount). If one is missing, the test names it
//! on stderr and is skipped, or fails with `TIDEWAL_FILE_SYSTEMS=required`.
//!
//! `TIDEWAL_POWER_CUTS=n cargo test --test file_systems -- --nocapture` cuts more often;
//! `TIDEWAL_KILL_SEED=n` repeats the choices of a run that printed `seed n`.
#![cfg(target_os = "linux")]

mod ballast;
mod disk;
mod full;
mod fuse;
mod power;

use full::Volume;
use power::Machine;
use tidewal_testing::file_systems as tools;
use tidewal_testing::kill::child;
use tools::{BTRFS, EXT4, Kind, Unavailable, XFS, note};

#[test]
fn what_was_acknowledged_survives_kill_9_on_ext4() {
    on(EXT4, Volume::new, Volume::survives_kill_9);
}

#[test]
fn what_was_acknowledged_survives_kill_9_on_xfs() {
    on(XFS, Volume::new, Volume::survives_kill_9);
}

#[test]
fn what_was_acknowledged_survives_kill_9_on_btrfs() {
    on(BTRFS, Volume::new, Volume::survives_kill_9);
}

#[test]
fn a_full_ext4_only_fails_appends_that_do_not_fit() {
    on(EXT4, Volume::new, Volume::fails_only_what_does_not_fit);
}

#[test]
fn a_full_xfs_only_fails_appends_that_do_not_fit() {
    on(XFS, Volume::new, Volume::fails_only_what_does_not_fit);
}

#[test]
fn a_log_opens_on_a_full_ext4() {
    on(EXT4, Volume::new, Volume::opens_while_full);
}

#[test]
fn a_log_opens_on_a_full_xfs() {
    on(XFS, Volume::new, Volume::opens_while_full);
}

#[test]
fn a_full_btrfs_loses_nothing() {
    on(BTRFS, Volume::new, Volume::loses_nothing);
}

#[test]
fn what_was_synced_survives_power_cuts_on_ext4() {
    on(EXT4, Machine::new, Machine::lose_power);
}

#[test]
fn what_was_synced_survives_power_cuts_on_xfs() {
    on(XFS, Machine::new, Machine::lose_power);
}

#[test]
fn what_was_synced_survives_power_cuts_on_btrfs() {
    on(BTRFS, Machine::new, Machine::lose_power);
}

#[test]
fn what_could_not_be_written_is_not_taken_for_durable_on_ext4() {
    on(EXT4, Machine::new, Machine::lose_writes);
}

#[test]
fn what_could_not_be_written_is_not_taken_for_durable_on_xfs() {
    on(XFS, Machine::new, Machine::lose_writes);
}

#[test]
fn what_could_not_be_written_is_not_taken_for_durable_on_btrfs() {
    on(BTRFS, Machine::new, Machine::lose_writes);
}

#[test]
fn regression_a_log_makes_durable_what_it_opens_with_on_ext4() {
    on(EXT4, Machine::new, Machine::lose_one_write);
}

#[test]
fn regression_a_log_makes_durable_what_it_opens_with_on_xfs() {
    on(XFS, Machine::new, Machine::lose_one_write);
}

#[test]
fn regression_a_log_makes_durable_what_it_opens_with_on_btrfs() {
    on(BTRFS, Machine::new, Machine::lose_one_write);
}

#[test]
fn regression_a_sync_notices_that_ext4_has_aborted_its_journal() {
    on(EXT4, Machine::new, Machine::abort_journal);
}

#[test]
fn regression_a_sync_notices_that_xfs_has_shut_down() {
    on(XFS, Machine::new, Machine::abort_journal);
}

#[test]
fn regression_a_sync_notices_that_btrfs_has_aborted() {
    on(BTRFS, Machine::new, Machine::abort_journal);
}

/// Runs a test if its requirements are available. Otherwise prints what is missing.
fn on<T>(kind: Kind, new: fn(Kind) -> Result<T, Unavailable>, test: fn(T)) {
    match new(kind) {
        Ok(place) => test(place),
        Err(reason) if std::env::var_os("TIDEWAL_FILE_SYSTEMS").is_none() => {
            note(&format!("skipped on {}: {reason}", kind.name));
        }
        Err(reason) => panic!("{}: {reason}", kind.name),
    }
}

#[test]
#[ignore = "the process that the other tests start and kill; does nothing by itself"]
fn child() {
    child::obey();
}
