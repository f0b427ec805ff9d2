//! Programs that make and mount file systems, and guards that clean up.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Why something is unavailable on this machine.
#[derive(Debug)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file system to try.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The size of its image: about the smallest possible.
    pub size: u64,
    make: &'static [&'static str],
    mount_options: &'static str,
    /// Whether overwriting a block allocates a new one.
    pub copies_on_write: bool,
    /// The unit that it assumes a disk to write atomically.
    pub sector: u64,
}

pub const EXT4: Kind = Kind {
    name: "ext4",
    size: 48 << 20,
    make: &["mkfs.ext4", "-q", "-F", "-b", "4096"],
    mount_options: "rw",
    copies_on_write: false,
    sector: 512,
};

/// A replay of its journal does not repair a metadata block that was torn in sectors of 512 bytes:
/// it skips the block because of its first sector, and then fails on the checksum of the block.
pub const XFS: Kind = Kind {
    name: "xfs",
    size: 300 << 20,
    make: &["mkfs.xfs", "-q", "-f", "-s", "size=4096"],
    mount_options: "rw",
    copies_on_write: false,
    sector: 4096,
};

/// Its superblock is one block with one checksum.
pub const BTRFS: Kind = Kind {
    name: "btrfs",
    size: 128 << 20,
    make: &["mkfs.btrfs", "-q", "-f"],
    mount_options: "nodiscard",
    copies_on_write: true,
    sector: 4096,
};

/// In memory, with a limit.
pub const TMPFS: Kind = Kind {
    name: "tmpfs",
    size: 32 << 20,
    make: &["true"],
    mount_options: "size=32m",
    copies_on_write: false,
    sector: 4096,
};

impl Kind {
    /// Makes a file system in a new sparse file.
    pub fn make(&self, image: &Path) -> Result<(), Unavailable> {
        if !is_root() {
            return Err(Unavailable("only root can mount".into()));
        }
        File::create_new(image).unwrap().set_len(self.size).unwrap();
        let mut make = command(self.make[0], &self.make[1..]);
        make.arg(image);
        run(make)
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A file system that is mounted until this is dropped.
pub struct Mounted {
    path: PathBuf,
}

impl Mounted {
    pub fn image(kind: &Kind, image: &Path, path: &Path) -> Result<Self, Unavailable> {
        let more = if kind.name == TMPFS.name { "" } else { ",loop" };
        Self::mount(kind, image, path, more)
    }

    pub fn device(kind: &Kind, device: &Path, path: &Path) -> Result<Self, Unavailable> {
        Self::mount(kind, device, path, "")
    }

    fn mount(kind: &Kind, source: &Path, path: &Path, more: &str) -> Result<Self, Unavailable> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("{}{more}", kind.mount_options);
        let mut mount = command("mount", &["-t", kind.name, "-o", &options]);
        mount.args([source, path]);
        run(mount)?;
        Ok(Self { path: path.into() })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

/// A block device over a file, until this is dropped.
pub struct Loop {
    device: PathBuf,
}

impl Loop {
    pub fn new(file: &Path, sector: u64) -> Result<Self, Unavailable> {
        let sector = sector.to_string();
        let mut losetup = command("losetup", &["--find", "--show", "--sector-size", &sector]);
        losetup.arg(file);
        let device = PathBuf::from(output(losetup)?.trim_end());
        Ok(Self { device })
    }

    pub fn device(&self) -> &Path {
        &self.device
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let mut losetup = command("losetup", &["--detach"]);
        losetup.arg(&self.device);
        persist(losetup);
    }
}

/// Unmounts the file system at `path`.
pub fn unmount(path: &Path) {
    let mut umount = command("umount", &[]);
    umount.arg(path);
    persist(umount);
}

/// Repeats the cleanup, because after a panic a log may be closing in the background.
fn persist(mut cleanup: Command) {
    for _ in 0..100 {
        match cleanup.output() {
            Ok(output) if output.status.success() => return,
            _ => thread::sleep(Duration::from_millis(100)),
        }
    }
    note(&format!("{cleanup:?} fails; please do it by hand"));
}

pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    // Directories that may not be in a user's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(arguments)
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
        .stdin(Stdio::null());
    command
}

pub fn run(command: Command) -> Result<(), Unavailable> {
    output(command).map(drop)
}

/// Runs a program that must succeed, and returns its output.
fn output(mut command: Command) -> Result<String, Unavailable> {
    let name = command.get_program().display().to_string();
    let output = command.output();
    let output = output.map_err(|error| Unavailable(format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Unavailable(format!("{name}: {}", text.trim_end())))
}

/// Prints a message that is visible even if the test succeeds.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
