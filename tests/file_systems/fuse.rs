//! The part of FUSE that is needed to serve a file system of one file. The kernel's side of the
//! protocol is in `include/uapi/linux/fuse.h`.

#![expect(
    clippy::host_endian_bytes,
    reason = "the kernel speaks the machine's byte order"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::{self, JoinHandle};

use super::tools::{self, Unavailable};

/// The operations of a served file.
pub trait Served: Send + 'static {
    fn len(&self) -> u64;
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
}

/// A file that a [`Served`] implements. It is unmounted when this is dropped.
pub struct Mount {
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Mount {
    /// Mounts it over the file `path`.
    pub fn new(path: &Path, served: impl Served) -> Result<Self, Unavailable> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|error| Unavailable(format!("/dev/fuse: {error}")))?;
        let handle = device.try_clone().unwrap();
        // Without a helper program, and with the device as the standard input of `mount`.
        let mut mount = tools::command("mount", &["-i", "-t", "fuse"]);
        mount
            .args(["-o", "fd=0,rootmode=100600,user_id=0,group_id=0", "tidewal"])
            .arg(path)
            .stdin(Stdio::from(handle));
        tools::run(mount)?;
        let thread = thread::spawn(move || serve(device, served));
        Ok(Self {
            path: path.into(),
            thread: Some(thread),
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        tools::unmount(&self.path);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been printed, and has made the test fail through an error
            // of the disk.
            let _ = thread.join();
        }
    }
}

/// Answers one request after another until the file system is unmounted.
fn serve(mut device: File, mut served: impl Served) {
    let mut buffer = vec![0; MAX_WRITE as usize + 4096];
    loop {
        match device.read(&mut buffer) {
            Ok(len) => {
                let request = Request(&buffer[..len]);
                if let Some(reply) = request.answer(&mut served) {
                    // An error means that no process waits for the answer any longer.
                    let _ = device.write(&reply);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// A request of the kernel, with its header.
struct Request<'a>(&'a [u8]);

impl Request<'_> {
    /// `None` if no answer is expected.
    fn answer(&self, served: &mut impl Served) -> Option<Vec<u8>> {
        let body = match self.u32(4) {
            FORGET | INTERRUPT | BATCH_FORGET => return None,
            GETATTR => Ok(attributes(served.len())),
            OPEN => Ok(opened()),
            READ => self.read(served),
            WRITE => self.write(served),
            STATFS => Ok(vec![0; 80]),
            FSYNC => served.flush().map(|()| Vec::new()),
            // Closing the file does not flush the disk.
            RELEASE | FLUSH | DESTROY => Ok(Vec::new()),
            INIT => Ok(init()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        };
        Some(self.reply(body))
    }

    fn read(&self, served: &mut impl Served) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.u32(56) as usize];
        served.read(self.u64(48), &mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, served: &mut impl Served) -> io::Result<Vec<u8>> {
        let (offset, len) = (self.u64(48), self.u32(56));
        served.write(offset, &self.0[80..80 + len as usize])?;
        let mut reply = Vec::new();
        put32(&mut reply, &[len, 0]);
        Ok(reply)
    }

    fn reply(&self, body: io::Result<Vec<u8>>) -> Vec<u8> {
        let (error, body) = match body {
            Ok(body) => (0, body),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => (NOT_IMPLEMENTED, vec![]),
            Err(_) => (INPUT_OUTPUT_ERROR, vec![]),
        };
        let len = u32::try_from(16 + body.len()).unwrap();
        let mut reply = Vec::with_capacity(len as usize);
        put32(&mut reply, &[len, error]);
        put64(&mut reply, &[self.u64(8)]);
        reply.extend(body);
        reply
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().unwrap())
    }
}

/// `struct fuse_init_out`: protocol 7.31, no read-ahead, 16 requests at once.
fn init() -> Vec<u8> {
    let mut reply = Vec::new();
    put32(&mut reply, &[7, 31, 0, BIG_WRITES | MAX_PAGES]);
    put16(&mut reply, &[16, 12]);
    put32(&mut reply, &[MAX_WRITE, 1]);
    put16(&mut reply, &[(MAX_WRITE / 4096).try_into().unwrap(), 0]);
    reply.resize(64, 0);
    reply
}

/// `struct fuse_attr_out` of a file of this length that never changes.
fn attributes(len: u64) -> Vec<u8> {
    let mut reply = Vec::new();
    put64(&mut reply, &[3600]);
    put32(&mut reply, &[0, 0]);
    put64(&mut reply, &[1, len, len / 512, 0, 0, 0]);
    put32(&mut reply, &[0, 0, 0, 0o100_600, 1, 0, 0, 0, 4096, 0]);
    reply
}

/// `struct fuse_open_out`: nothing goes through a cache of the kernel.
fn opened() -> Vec<u8> {
    let mut reply = Vec::new();
    put64(&mut reply, &[0]);
    put32(&mut reply, &[DIRECT_IO, 0]);
    reply
}

fn put16(into: &mut Vec<u8>, numbers: &[u16]) {
    into.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
}

fn put32(into: &mut Vec<u8>, numbers: &[u32]) {
    into.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
}

fn put64(into: &mut Vec<u8>, numbers: &[u64]) {
    into.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
}

const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const BATCH_FORGET: u32 = 42;

const BIG_WRITES: u32 = 1 << 5;
const MAX_PAGES: u32 = 1 << 22;
const DIRECT_IO: u32 = 1;
const MAX_WRITE: u32 = 1024 * 1024;

/// `-EIO`.
const INPUT_OUTPUT_ERROR: u32 = 5_u32.wrapping_neg();
/// `-ENOSYS`, which the kernel remembers.
const NOT_IMPLEMENTED: u32 = 38_u32.wrapping_neg();
