//! A simulated disk: in memory, deterministic, with a volatile and a durable side.
//!
//! Use it to crash-test a service that keeps its state in a log. Open the log on a [`SimDisk`] with
//! [`WalOptions::open_on`](crate::WalOptions::open_on) and its companions, let the service work,
//! cut the power at some operation, [`restart`](SimDisk::restart), recover, and compare. The log
//! then runs on the caller's tokio runtime, not on threads of its own. With a current-thread
//! runtime and a paused clock, the same seed gives the same run, operation by operation.
//!
//! # The model
//!
//! - What is written is volatile until its file is synced. A new, renamed or removed name is
//!   volatile until its directory is synced. A file's own sync does not make its name durable,
//!   unless [configured](SimDisk::set_fsync_persists_name).
//! - When the power is cut, some of what is volatile survives: see [`Survival`].
//! - A failed sync marks what it should have written as clean: it is readable until the power is
//!   cut and then lost, and the next sync does not bring it back. Linux does the same.
//!   The names that a failed sync of a directory should have written are lost in the same way.
//! - Other programs can [move](SimDisk::move_dir), [copy](SimDisk::copy_dir) and
//!   [remove](SimDisk::remove_dir) a directory while a log is open in it.
//! - Any call can [fail](SimDisk::fail), writes and reads can be [short](SimDisk::short_io), a sync
//!   can [stall](SimDisk::stall), the disk can be [full](SimDisk::set_quota), and files can be
//!   [corrupted](SimDisk::corrupt), [written](SimDisk::write_file) and
//!   [removed](SimDisk::remove_file).
//!
//! Directories exist, durably, as soon as they are used. The log never maps files, never appends by
//! position and never truncates a file, so none of that is modeled.
//!
//! # Examples
//!
//! ```
//! use tidewal::Wal;
//! use tidewal::sim::{SimDisk, Survival};
//!
//! # tokio_test::block_on(async {
//! let disk = SimDisk::new(7);
//! let wal = Wal::options().segment_size(64 * 1024).open_on(&disk, "log").await?;
//! wal.append("kept").await?;
//!
//! disk.cut_power();
//! assert!(wal.append("lost").await.is_err());
//! disk.restart(Survival::Nothing);
//!
//! let mut recovery = Wal::options().recover_on(&disk, "log").await?;
//! assert_eq!(recovery.try_next().await?.unwrap().payload, "kept");
//! assert!(recovery.try_next().await?.is_none());
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//! ```

mod changes;
mod contents;
mod directories;
mod faults;
mod handles;
mod locks;
mod model;
mod operation;
mod outsider;
mod pages;
mod power;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::storage::lock_table::LockTable;
use crate::storage::sim::model::Model;

pub use crate::storage::sim::operation::Operation;
pub use crate::storage::sim::power::Survival;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    model: Arc<Mutex<Model>>,
    /// The logs that this process has open.
    locks: Arc<LockTable>,
}

impl SimDisk {
    /// An empty disk. `seed` decides every random choice on it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            model: Arc::new(Mutex::new(Model::new(seed))),
            locks: Arc::new(LockTable::new()),
        }
    }

    /// A second disk with the same contents, volatile and durable, and the same random choices to
    /// come.
    ///
    /// A log that is open on this disk is not open on the second one. One run can therefore be
    /// continued in several ways.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            model: Arc::new(Mutex::new(self.model().fork())),
            locks: Arc::new(LockTable::new()),
        }
    }

    /// The same disk as another process of the same machine sees it. The two processes share only
    /// the system's locks: neither knows which logs are closing in the other.
    #[must_use]
    pub fn another_process(&self) -> Self {
        Self {
            model: Arc::clone(&self.model),
            locks: Arc::new(LockTable::new()),
        }
    }

    /// Restarts the random choices on this disk from another seed.
    pub fn reseed(&self, seed: u64) {
        self.model().reseed(seed);
    }

    /// How many operations that change the disk were called since it was made.
    ///
    /// Creating, writing, allocating, linking, renaming, removing and both kinds of sync count.
    /// Reading does not.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.model().operations
    }

    /// How many bytes were written to files since the disk was made, whether they survived or not.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.model().written_bytes
    }

    /// Cuts the power now: every operation fails until [`restart`](Self::restart).
    pub fn cut_power(&self) {
        self.model().off = true;
    }

    /// Cuts the power at the operation with this number, counted as in
    /// [`operations`](Self::operations). The first operation is 0.
    ///
    /// That operation is running when the power is cut: it fails, and what it did is as volatile as
    /// everything else that was not synced.
    pub fn cut_power_at(&self, operation: u64) {
        self.model().cut_at = Some(operation);
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.model().off
    }

    /// A hash of everything on the disk, volatile and durable. Two disks with the same hash behave
    /// the same, except for random choices.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.model().fingerprint()
    }

    /// How many changes are volatile now.
    #[must_use]
    pub fn volatile_changes(&self) -> usize {
        self.model().volatile.len()
    }

    /// How many pieces the volatile changes consist of: each 512-byte sector of a write is one, and so
    /// is every other change. [`Survival::Pieces`] chooses among them.
    #[must_use]
    pub fn volatile_pieces(&self) -> usize {
        self.model().volatile_pieces()
    }

    /// Switches the power off, if it is not yet, and on again.
    ///
    /// `survival` decides which of the volatile changes remain. Files that were open stay unusable,
    /// locks are released, and planned cuts and faults are forgotten.
    pub fn restart(&self, survival: Survival) {
        self.model().restart(survival);
    }

    /// Kills the process that uses the disk, and not the machine: what was not synced stays in the
    /// cache, where it can be read until the power is cut.
    ///
    /// Files that were open stay unusable, locks are released, and planned cuts and faults are
    /// forgotten. A power cut that was [planned](Self::cut_power_at) and has happened then counts
    /// as the end of the process, not as a power cut.
    pub fn kill(&self) {
        self.model().kill();
    }

    /// Makes the operation of this kind that comes after `skip` others fail, once.
    ///
    /// It fails before it does anything, except that a failed sync marks what it should have written
    /// as clean.
    pub fn fail(&self, operation: Operation, skip: u64, error: io::ErrorKind) {
        self.fail_on(operation, "", skip, error);
    }

    /// Like [`fail`](Self::fail), but counts only operations on files whose names end with `file`,
    /// such as `.spare`, `.wal` or a whole name.
    ///
    /// A renamed or linked file counts under its old name. A directory has no name.
    pub fn fail_on(&self, operation: Operation, file: &str, skip: u64, error: io::ErrorKind) {
        self.model().faults.plan_error(operation, file, skip, error);
    }

    /// Makes the rename that comes after `skip` others, of a file whose name ends with `file`,
    /// succeed and still report an error, once.
    ///
    /// A remote file system does this if an answer is lost and the request is repeated: the old
    /// name is then missing, or the new one is taken.
    pub fn fail_after_rename(&self, file: &str, skip: u64, error: io::ErrorKind) {
        self.model().faults.plan_late_error(file, skip, error);
    }

    /// The operations that were made to fail since the disk was started, or since
    /// [`clear_faults`](Self::clear_faults), with the names of their files.
    #[must_use]
    pub fn failed_operations(&self) -> Vec<(Operation, String)> {
        self.model().faults.failed()
    }

    /// Makes the read or write that comes after `skip` others move only half of its bytes, once.
    ///
    /// This is not an error. For a disk that fills up in the middle of a write, follow the short
    /// write with a [failing](Self::fail) one.
    pub fn short_io(&self, operation: Operation, skip: u64) {
        self.model().faults.plan_short(operation, skip);
    }

    /// Makes the sync of a file that comes after `skip` others take this much longer, once, on the
    /// clock of the tokio runtime. [`Duration::MAX`] is forever.
    pub fn stall(&self, skip: u64, time: Duration) {
        self.model().faults.plan_stall(skip, time);
    }

    /// Forgets the failures, short operations and stalls that have not happened yet, and returns
    /// their number.
    #[expect(
        clippy::must_use_candidate,
        reason = "the number is news to some callers only"
    )]
    pub fn clear_faults(&self) -> usize {
        std::mem::take(&mut self.model().faults).len()
    }

    /// Limits the bytes that all files take together, or removes the limit.
    ///
    /// What does not fit fails with [`io::ErrorKind::StorageFull`].
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.model().quota = bytes;
    }

    /// Makes every sync of a file take this long, on the clock of the tokio runtime.
    pub fn set_sync_time(&self, time: Duration) {
        self.model().sync_time = time;
    }

    /// Whether the sync of a file also makes its new name durable. Default: `false`, because POSIX
    /// does not promise it. Most current file systems do it.
    pub fn set_fsync_persists_name(&self, keeps: bool) {
        self.model().keeps_names = keeps;
    }

    /// Whether reading the records of a segment fails while another descriptor appends to it.
    /// Default: `false`, as on a real disk. For tests that check that a reader reads only finished
    /// segments.
    pub fn set_refuses_shared_reads(&self, refuses: bool) {
        self.model().appended = refuses.then(Default::default);
    }

    /// The names of the files in a directory, sorted.
    #[must_use]
    pub fn files(&self, dir: impl AsRef<Path>) -> Vec<String> {
        let model = self.model();
        let found = model.find_dir(dir.as_ref());
        found.map(|dir| model.names(dir)).unwrap_or_default()
    }

    /// The bytes of a file, or `None` if there is no such file.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.model().read_file(path.as_ref())
    }

    /// Changes the bytes of a file without the log's knowledge, durably: flips bits, zeroes
    /// sectors, shortens the file. Returns whether the file existed.
    ///
    /// ```
    /// # let disk = tidewal::sim::SimDisk::new(1);
    /// # disk.write_file("log/x", vec![0; 100]);
    /// disk.corrupt("log/x", |bytes| bytes[17] ^= 0b100);
    /// ```
    pub fn corrupt(&self, path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.model().damage_file(path.as_ref(), change)
    }

    /// Makes the medium lose a page of a file: the 4 KiB that hold the byte `offset`. Returns
    /// whether the file existed.
    ///
    /// Reading the page fails with `EIO`, and so does writing a part of it. This ends when the
    /// whole page is written and synced, or a part of it while the page is in the system's cache.
    /// If `is_cached`, the page is in the cache now: it can be read until the power is cut or the
    /// cache drops it.
    ///
    /// ```
    /// # let disk = tidewal::sim::SimDisk::new(1);
    /// # disk.write_file("log/x", vec![0; 10_000]);
    /// assert!(disk.make_unreadable("log/x", 5000, false));
    /// ```
    pub fn make_unreadable(&self, path: impl AsRef<Path>, offset: u64, is_cached: bool) -> bool {
        let path = path.as_ref();
        self.model().make_unreadable(path, offset, is_cached)
    }

    /// Writes a file, durably, such as a foreign file or a copy of another one.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: Vec<u8>) {
        self.model().plant_file(path.as_ref(), bytes);
    }

    /// Removes a file, durably, even one that is open, or the lock file. Returns whether it
    /// existed.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> bool {
        self.model().destroy_file(path.as_ref())
    }

    /// Gives a file a second name without the log's knowledge, durably, as a hard-link backup does.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub fn hard_link(&self, path: impl AsRef<Path>, second: impl AsRef<Path>) -> io::Result<()> {
        self.model().link_file(path.as_ref(), second.as_ref())
    }

    /// Moves a directory without the log's knowledge, durably. A log that is open in it moves with
    /// it.
    ///
    /// # Errors
    ///
    /// If there is no such directory, or if there is one at the new path already.
    pub fn move_dir(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.model().move_dir(from.as_ref(), to.as_ref())
    }

    /// Copies the files of a directory, as they can be read now, into another one, durably.
    ///
    /// # Errors
    ///
    /// If there is no such directory.
    pub fn copy_dir(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.model().copy_dir(from.as_ref(), to.as_ref())
    }

    /// Removes a directory without the log's knowledge, durably, with everything in it.
    ///
    /// # Errors
    ///
    /// If there is no such directory.
    pub fn remove_dir(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        self.model().remove_dir(dir.as_ref())
    }

    /// Whether a directory itself can be locked, as on almost every file system, or only a file in
    /// it. Default: `true`.
    pub fn set_directory_locks(&self, can: bool) {
        self.model().locks_directories = can;
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locks(&self) -> &LockTable {
        &self.locks
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk")
            .field("operations", &self.operations())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
