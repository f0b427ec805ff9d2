//! Snapshots beside the log: `docs/snapshots.md`, case by case.

mod crashes;
mod damage;
mod diverged;
mod dropped;
mod faults;
mod helpers;
mod holding;
mod life;
#[cfg(unix)]
mod odd_files;
