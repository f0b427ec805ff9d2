//! Opening and creating regular files only.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, statat};
#[cfg(target_os = "linux")]
use rustix::fs::{StatxFlags, makedev, statx};
#[cfg(target_os = "linux")]
use rustix::io::Errno;
use rustix::io::retry_on_intr;

use crate::storage::access::FileId;
use crate::storage::backend::FileInfo;

/// Opens an existing file if it is a regular one.
///
/// The file is looked up before it is opened, because opening a device has effects, and again
/// afterwards, because it may have been replaced in between. Links are not followed, and opening a
/// FIFO does not block.
pub(super) fn open(dir: impl AsFd, name: &str, access: OFlags) -> io::Result<std::fs::File> {
    check(&look_up(&dir, name)?)?;
    let how = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = retry_on_intr(|| openat(&dir, name, how, Mode::empty()))?;
    check(&fstat(&file)?)?;
    Ok(file.into())
}

/// Creates a file that only its owner can read.
pub(super) fn create(dir: impl AsFd, name: &str) -> io::Result<std::fs::File> {
    let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| openat(&dir, name, how, Mode::RUSR | Mode::WUSR))?;
    Ok(file.into())
}

/// The file that a name refers to. For a link, the link itself.
pub(super) fn look_up(dir: impl AsFd, name: &str) -> io::Result<Stat> {
    let stat = retry_on_intr(|| statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW));
    Ok(stat?)
}

/// The number and the length of the file that a name refers to. For a link, those of the link itself.
///
/// Does not read the times. Since Linux 6.13 a file whose times were read since the last write gets a
/// new time with the next write, and without a journal ext4 writes a second block for that with the
/// next sync: 1.4 times its latency (`docs/benchmarks.md`).
#[cfg(target_os = "linux")]
pub(super) fn find(dir: impl AsFd, name: &str) -> io::Result<FileInfo> {
    let wanted = StatxFlags::INO | StatxFlags::SIZE;
    match retry_on_intr(|| statx(&dir, name, AtFlags::SYMLINK_NOFOLLOW, wanted)) {
        Ok(stat) => Ok(FileInfo {
            id: Some(FileId {
                device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
                inode: stat.stx_ino,
            }),
            len: stat.stx_size,
        }),
        // For Linux before 4.11, or if a system call filter rejects `statx`.
        Err(Errno::NOSYS | Errno::PERM) => Ok(found(&look_up(dir, name)?)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn find(dir: impl AsFd, name: &str) -> io::Result<FileInfo> {
    Ok(found(&look_up(dir, name)?))
}

fn check(stat: &Stat) -> io::Result<()> {
    let (kind, what) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => (io::ErrorKind::IsADirectory, "it is a directory"),
        FileType::Symlink => (io::ErrorKind::Other, "it is a symbolic link"),
        FileType::Fifo => (io::ErrorKind::Other, "it is a FIFO"),
        FileType::Socket => (io::ErrorKind::Other, "it is a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => {
            (io::ErrorKind::Other, "it is a device")
        }
        FileType::Unknown => (io::ErrorKind::Other, "it is no regular file"),
    };
    Err(io::Error::new(
        kind,
        format!("{what}, and only regular files are opened"),
    ))
}

#[allow(
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "these have other types on other systems"
)]
pub(super) fn id(stat: &Stat) -> FileId {
    FileId {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
    }
}

#[allow(clippy::cast_sign_loss, reason = "no file has a length below zero")]
fn found(stat: &Stat) -> FileInfo {
    FileInfo {
        id: Some(id(stat)),
        len: stat.st_size as u64,
    }
}
