//! Whether the file system has aborted its journal, which a successful sync does not show.
//!
//! A file's data may be on the disk while its name, or which blocks hold the data, is recorded in the journal
//! only. If ext4 cannot write its journal, it aborts it. A sync that was waiting for the journal fails. A sync
//! that comes a moment later finds nothing left to wait for and succeeds (`jbd2_complete_transaction`), until
//! ext4 makes its next change and detects the abort. The first failure can belong to the sync of any program or
//! to the kernel's own timer, so the log cannot learn of it.
//!
//! So after the sync, the log makes a change of its own: it sets the times of the file. Ext4 does not report
//! the failure of that change, but it then detects that its journal is aborted, and refuses the next change.

use std::os::fd::AsFd;

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use rustix::io::{Errno, retry_on_intr};

/// Fails if the file system of an open file or directory accepts no more changes.
pub(super) fn check(file: impl AsFd) -> Result<(), Errno> {
    set_times(&file).and_then(|()| set_times(&file))
}

fn set_times(file: impl AsFd) -> Result<(), Errno> {
    match retry_on_intr(|| futimens(&file, &NOW)) {
        // The file belongs to another user, or the file system keeps no times. Nothing can be
        // learned.
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
