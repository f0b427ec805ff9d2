//! Copies of a log that is open: `Wal::backup`.

mod contents;
mod crashes;
#[cfg(unix)]
mod disk;
mod ends;
mod helpers;
mod meanwhile;
