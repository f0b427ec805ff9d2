//! A directory whose files take long to open.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::helpers::{Log, tidewal};

/// The entry is a regular file that another process has a lease on, so opening it takes up to 45 s.
#[test]
fn a_directory_that_hangs_is_given_up() {
    let (log, root) = (Log::make(), tempfile::tempdir().unwrap());
    let manifest = root.path().join("manifest");
    fs::create_dir(&manifest).unwrap();
    let entry = manifest.join(format!("{:020}", 1));
    fs::write(&entry, "an entry").unwrap();
    let Some(_lease) = Lease::take(&entry) else {
        println!("skipped: there is no python3, or no lease on files");
        return;
    };
    let store = root.path().to_str().unwrap();
    let ship = [
        "archive",
        "ship",
        log.path(),
        store,
        "--give-up-after",
        "50ms",
    ];
    tidewal(&ship).assert_failed(2, "not everything is in the archive");
}

/// A process that has a lease on a file (`F_SETLEASE`), and does not give it back when it is asked to.
struct Lease(Child);

impl Lease {
    fn take(path: &Path) -> Option<Self> {
        let mut python = std::process::Command::new("python3");
        let python = python.args(["-c", LEASE]).arg(path);
        let python = python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut lease = Self(python.spawn().ok()?);
        let mut line = String::new();
        let output = lease.0.stdout.take()?;
        BufReader::new(output).read_line(&mut line).ok()?;
        (line == "leased\n").then_some(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const LEASE: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
sys.stdin.read()
";
