//! Whether the file system has given up, which a sync that succeeds does not tell.
//!
//! A file's data may be on the disk while the blocks it is in, or its name, are known to the journal only.
//! If the journal cannot be written, ext4 aborts it. A sync that was waiting for it fails. A sync that comes
//! a moment later finds that nothing is left to wait for and succeeds (`jbd2_complete_transaction`), until
//! ext4 next wants to change something and notices. Any program's sync, and the kernel's own timer, can run
//! into that first failure, so the log cannot know of it.
//!
//! So the log asks the file system for a change of its own, after the sync: the time of the file. Ext4 does
//! not report the failure of that change. It reports that it has given up to the next one.

use std::os::fd::AsFd;

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use rustix::io::{Errno, retry_on_intr};

/// Fails if the file system of an open file, or directory, takes no more changes.
pub(super) fn check(file: impl AsFd) -> Result<(), Errno> {
    set_times(&file).and_then(|()| set_times(&file))
}

fn set_times(file: impl AsFd) -> Result<(), Errno> {
    match retry_on_intr(|| futimens(&file, &NOW)) {
        // The file is another user's, or the file system keeps no times. Nothing can be learned here.
        Err(Errno::ACCESS | Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        set => set,
    }
}

const NOW: Timestamps = Timestamps {
    last_access: NOW_TIME,
    last_modification: NOW_TIME,
};

const NOW_TIME: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: UTIME_NOW,
};
