//! `tidewal archive` and `tidewal restore`

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::helpers::{Log, Ran, command, missing, tidewal, wait_for};
use crate::server::{BUCKET, Server};

/// A log of 900 records, and a directory for its archive and for restored copies.
struct Shipped {
    log: Log,
    root: tempfile::TempDir,
}

impl Shipped {
    fn make() -> Self {
        let shipped = Self {
            log: Log::make(),
            root: tempfile::tempdir().unwrap(),
        };
        shipped.ship().assert_ok();
        shipped
    }

    fn store(&self) -> String {
        self.path("store")
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    fn ship(&self) -> Ran {
        tidewal(&["archive", "ship", self.log.path(), &self.store()])
    }

    fn restore(&self, dir: &str, more: &[&str]) -> Ran {
        let (store, dir) = (self.store(), self.path(dir));
        tidewal(&[&["restore", &store, &dir], more].concat())
    }

    fn last_restored(&self, dir: &str) -> String {
        let dumped = tidewal(&["dump", &self.path(dir), "--raw"]);
        dumped.assert_ok().lines().pop().unwrap()
    }

    /// The first part of the newest segment.
    fn newest_part(&self) -> PathBuf {
        let entries = fs::read_dir(Path::new(&self.store()).join("segments")).unwrap();
        let newest = entries.map(|entry| entry.unwrap().path()).max();
        newest.unwrap().join("0000")
    }
}

#[test]
fn a_log_goes_into_a_directory_and_comes_back() {
    let shipped = Shipped::make();
    let again = shipped.ship();
    assert!(
        again.assert_ok().text().contains("up to LSN 900 was in"),
        "{}",
        again.text()
    );
    let shown = tidewal(&["archive", "show", &shipped.store(), "--json"]);
    let shown = shown.assert_ok().json();
    assert_eq!(
        (&shown["oldest"], &shown["end"], &shown["segments"]),
        (&1.into(), &900.into(), &3.into())
    );
    let verified = tidewal(&["archive", "verify", &shipped.store()]);
    let text = verified.assert_ok().text();
    assert!(text.contains("LSN 1 to 900"), "{text}");
    assert!(text.contains("sound: every record"), "{text}");
    let restored = shipped.restore("copy", &[]);
    let text = restored.assert_ok().text();
    assert!(text.starts_with("restored: LSN 1 to 900 in "), "{text}");
    let copy = tidewal(&["dump", &shipped.path("copy"), "--raw"]);
    let original = tidewal(&["dump", shipped.log.path(), "--raw"]);
    assert_eq!(copy.assert_ok().text(), original.assert_ok().text());
}

#[test]
fn only_what_is_new_is_shipped() {
    let shipped = Shipped::make();
    shipped.log.fill(901, 910);
    let text = shipped.ship().assert_ok().text();
    assert!(text.contains("up to LSN 910"), "{text}");
    assert!(text.contains("shipped 1 segment,"), "{text}");
}

#[test]
fn a_restore_ends_where_it_is_told() {
    let shipped = Shipped::make();
    shipped
        .restore("until", &["--until-lsn", "500"])
        .assert_ok();
    assert_eq!(shipped.last_restored("until"), "record 500");
    let restored = shipped.restore("from", &["--from", "900", "--json"]);
    let restored = restored.assert_ok().json();
    assert_eq!(
        (&restored["end"], &restored["segments"]),
        (&900.into(), &1.into())
    );
    shipped
        .restore("now", &["--until-time", "2999-01-01 00:00:00"])
        .assert_ok();
    assert_eq!(shipped.last_restored("now"), "record 900");
    let early = shipped.restore("early", &["--until-time", "2001-01-01T00:00:00Z"]);
    early.assert_failed(2, "before the first time in the archive");
    let beyond = shipped.restore("beyond", &["--until-lsn", "901"]);
    beyond.assert_failed(2, "beyond the end of the archive, which is LSN 900");
}

#[test]
fn a_directory_that_holds_something_is_left_alone() {
    let shipped = Shipped::make();
    let (log, store) = (shipped.log.path(), shipped.store());
    let ran = tidewal(&["restore", &store, log]);
    ran.assert_failed(2, "is not empty");
    tidewal(&["verify", log]).assert_ok();
}

#[test]
fn an_object_that_changed_is_named() {
    let shipped = Shipped::make();
    let part = shipped.newest_part();
    let mut bytes = fs::read(&part).unwrap();
    bytes[5000] ^= 1;
    fs::write(&part, bytes).unwrap();
    let verified = tidewal(&["archive", "verify", &shipped.store()]);
    verified.assert_failed(1, "1 bad object in");
    assert!(
        verified.text().contains("/0000 is damaged"),
        "{}",
        verified.text()
    );
    shipped
        .restore("copy", &[])
        .assert_failed(1, "/0000 is damaged");
    // Every command reports an unfinished restore, and there is nothing to repair.
    let copy = shipped.path("copy");
    let other = shipped.path("other-store");
    let ship = ["archive", "ship", &copy, &other];
    let one = |command| vec![command, copy.as_str()];
    let commands = ["inspect", "verify", "dump", "repair", "append"].map(one);
    for command in commands.into_iter().chain([ship.to_vec()]) {
        let ran = tidewal(&command);
        ran.assert_failed(2, "is not finished");
        assert!(
            ran.stderr.contains("next: run `tidewal restore STORE "),
            "{}",
            ran.stderr
        );
    }
    let ran = tidewal(&["repair", "--yes", &copy]);
    ran.assert_failed(2, "is not finished");
    let mut bytes = fs::read(&part).unwrap();
    bytes[5000] ^= 1;
    fs::write(&part, bytes).unwrap();
    shipped.restore("copy", &[]).assert_ok();
    tidewal(&["verify", &copy]).assert_ok();
}

#[test]
fn every_object_that_is_bad_is_named_with_its_records() {
    let shipped = Shipped::make();
    let segments = fs::read_dir(Path::new(&shipped.store()).join("segments")).unwrap();
    let mut parts: Vec<_> = segments
        .map(|entry| entry.unwrap().path().join("0000"))
        .collect();
    parts.sort();
    for part in &parts[1..3] {
        fs::write(part, "something else").unwrap();
    }
    let verified = tidewal(&["archive", "verify", &shipped.store()]);
    verified.assert_failed(1, "2 bad objects in");
    let bad: Vec<_> = verified
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("bad: "))
        .collect();
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(
        bad.iter()
            .all(|line| line.contains("it holds the records LSN ")),
        "{bad:?}"
    );
    let verified = tidewal(&["archive", "verify", &shipped.store(), "--json"]);
    let bad = &verified.json()["bad"];
    assert_eq!(bad.as_array().unwrap().len(), 2, "{bad}");
    assert!(bad[0]["last"].as_u64() < bad[1]["first"].as_u64(), "{bad}");
}

#[test]
fn an_archive_is_pruned_and_shipped_to_again() {
    let shipped = Shipped::make();
    let store = shipped.store();
    let prune = |more: &[&str]| tidewal(&[&["archive", "prune", &store], more].concat());
    assert_eq!(prune(&[]).code, 2, "what to keep has to be said");
    prune(&["--before-lsn", "901"]).assert_failed(2, "beyond the end of the archive");
    let none = prune(&["--before-time", "2001-01-01T00:00:00Z"])
        .assert_ok()
        .text();
    assert!(
        none.contains("nothing had to be removed") && none.contains("begins with LSN 1\n"),
        "{none}"
    );
    let pruned = prune(&["--before-lsn", "800", "--json"]).assert_ok().json();
    let oldest = pruned["oldest"].as_u64().unwrap();
    assert!(
        oldest > 1 && pruned["objects"].as_u64().unwrap() > 1,
        "{pruned}"
    );
    let shown = tidewal(&["archive", "show", &store]).assert_ok().text();
    let expired = format!("LSN {oldest} to 900; those up to {}", oldest - 1);
    assert!(shown.contains(&expired), "{shown}");
    shipped.log.fill(901, 910);
    shipped.ship().assert_ok();
    tidewal(&["archive", "verify", &store]).assert_ok();
    shipped.restore("copy", &[]).assert_ok();
    assert_eq!(shipped.last_restored("copy"), "record 910");
}

/// A run that has nothing to ship leaves no trace.
#[test]
fn nothing_new_is_nothing_written() {
    let shipped = Shipped::make();
    let entries = || {
        fs::read_dir(Path::new(&shipped.store()).join("manifest"))
            .unwrap()
            .count()
    };
    let before = entries();
    for _ in 0..3 {
        let text = shipped.ship().assert_ok().text();
        assert!(text.contains("already"), "{text}");
    }
    assert_eq!(entries(), before);
}

/// An expiry rule of the bucket has removed the oldest objects.
#[test]
fn an_archive_that_has_expired_in_part_is_shipped_to_and_restored_from() {
    let shipped = Shipped::make();
    let store = shipped.store();
    let oldest = |folder: &str| {
        let found = fs::read_dir(Path::new(&store).join(folder)).unwrap();
        found.map(|entry| entry.unwrap().path()).min().unwrap()
    };
    fs::remove_dir_all(oldest("segments")).unwrap();
    for _ in 0..2 {
        fs::remove_file(oldest("manifest")).unwrap();
    }
    shipped.log.fill(901, 910);
    shipped.ship().assert_ok();
    shipped.restore("copy", &[]).assert_ok();
    assert_eq!(shipped.last_restored("copy"), "record 910");
}

#[test]
fn another_log_is_not_mixed_in() {
    let shipped = Shipped::make();
    let other = Log::make();
    let ran = tidewal(&["archive", "ship", other.path(), &shipped.store()]);
    ran.assert_failed(2, "holds the archive of another log");
    tidewal(&["verify", other.path()]).assert_ok();
}

#[test]
fn a_damaged_log_is_not_shipped_over_a_sound_archive() {
    let shipped = Shipped::make();
    shipped.log.fill(901, 1500);
    shipped.log.damage(3, 5000);
    shipped.ship().assert_failed(1, "is damaged at byte");
    let shown = tidewal(&["archive", "show", &shipped.store(), "--json"]);
    assert_eq!(shown.assert_ok().json()["end"], 900);
}

#[test]
fn names_that_are_wrong_make_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (log, store) = (missing(root.path()), root.path().join("store"));
    let store = store.to_str().unwrap();
    let ran = tidewal(&["archive", "ship", &log, store]);
    ran.assert_failed(2, "next: check the path");
    let ran = tidewal(&["archive", "ship", root.path().to_str().unwrap(), store]);
    ran.assert_failed(2, "is not a log's directory");
    tidewal(&["archive", "show", store]).assert_failed(2, "as a store");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    fs::create_dir(store).unwrap();
    tidewal(&["archive", "show", store]).assert_failed(2, "there is no archive in");
    tidewal(&["restore", store, &log]).assert_failed(2, "there is no archive in");
    assert!(!Path::new(&log).exists());
}

#[test]
fn a_store_that_would_not_last_is_refused() {
    let log = Log::make();
    let ran = tidewal(&["archive", "ship", log.path(), "memory://somewhere"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("lost when the command ends"));
    let ran = tidewal(&["archive", "ship", log.path(), "gopher://somewhere"]);
    ran.assert_failed(2, "as a store");
}

#[test]
fn a_url_without_its_slashes_is_no_directory() {
    let (log, root) = (Log::make(), tempfile::tempdir().unwrap());
    for store in ["s3:bucket/orders", "S3:/bucket/orders", "memory:x"] {
        let mut ship = command(&["archive", "ship", log.path(), store]);
        let ran = Ran::from(ship.current_dir(root.path()).output().unwrap());
        assert_eq!(ran.code, 2, "{}", ran.text());
        assert!(ran.stderr.contains("write ./"), "{}", ran.stderr);
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    let mut ship = command(&["archive", "ship", log.path(), "./s3:bucket"]);
    Ran::from(ship.current_dir(root.path()).output().unwrap()).assert_ok();
    let mut ship = command(&["archive", "ship", log.path(), "missing/../2026-11-27T10:11"]);
    Ran::from(ship.current_dir(root.path()).output().unwrap()).assert_ok();
}

#[test]
fn a_log_and_its_archive_do_not_lie_in_each_other() {
    let shipped = Shipped::make();
    let (log, store) = (shipped.log.path().to_owned(), shipped.store());
    let inside = format!("{log}/../wal/backup");
    let around = shipped.log.dir.parent().unwrap().to_str().unwrap();
    for place in [log.as_str(), &inside, around] {
        let ran = tidewal(&["archive", "ship", &log, place]);
        ran.assert_failed(2, "one contains the other");
    }
    let copies = ["manifest/copy", "missing/../copy"];
    for copy in copies.map(|copy| format!("{store}/{copy}")) {
        let ran = tidewal(&["restore", &store, &copy]);
        ran.assert_failed(2, "one contains the other");
        assert!(!Path::new(&copy).exists());
    }
    assert!(!shipped.log.dir.join("manifest").exists());
}

#[test]
fn an_empty_log_does_not_pass_for_one_that_has_an_archive() {
    let shipped = Shipped::make();
    let empty = Log::empty();
    wait_for(empty.open().close()).unwrap();
    let ran = tidewal(&["archive", "ship", empty.path(), &shipped.store()]);
    ran.assert_failed(2, "holds the archive of another log");
    let elsewhere = shipped.path("elsewhere");
    let ran = tidewal(&["archive", "ship", empty.path(), &elsewhere]);
    assert!(ran.assert_ok().text().contains("nothing to ship"));
}

#[test]
fn an_archive_with_a_hole_in_its_manifest_is_no_success() {
    let shipped = Shipped::make();
    let entry = Path::new(&shipped.store()).join(format!("manifest/{:020}", 2));
    fs::remove_file(entry).unwrap();
    let ran = shipped.ship();
    ran.assert_failed(1, "is missing");
    assert!(!ran.stderr.contains("--until-lsn"), "{}", ran.stderr);
}

#[test]
fn a_range_that_ends_before_it_begins_is_said_to_be_that() {
    let shipped = Shipped::make();
    let ran = shipped.restore("copy", &["--from", "800", "--until-lsn", "500"]);
    ran.assert_failed(2, "LSN 800 is after LSN 500");
}

#[test]
fn what_goes_wrong_is_said_while_it_is_tried_again() {
    let (log, root) = (Log::make(), tempfile::tempdir().unwrap());
    fs::write(root.path().join("manifest"), "no directory").unwrap();
    let store = root.path().to_str().unwrap();
    let mut ship = command(&["archive", "ship", log.path(), store])
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(ship.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    ship.kill().unwrap();
    ship.wait().unwrap();
    assert!(line.contains("(retrying)"), "{line}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let shipped = Shipped::make();
    let ran = tidewal(&["restore", &shipped.store(), "/proc/nothing"]);
    ran.assert_failed(2, "next: check the path of the directory to be created");
}

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

#[test]
fn a_log_that_a_service_has_open_is_its_to_ship() {
    let shipped = Shipped::make();
    let wal = shipped.log.open();
    shipped.ship().assert_failed(2, "stop the service");
    wait_for(wal.close()).unwrap();
}

#[test]
fn a_store_that_does_not_answer_is_given_up_if_that_is_asked_for() {
    let log = Log::make();
    let ran = command(&["archive", "ship", log.path(), "s3://bucket/log"])
        .args(["--give-up-after", "50ms"])
        .envs(server_environment("http://127.0.0.1:9"))
        .output()
        .unwrap();
    Ran::from(ran).assert_failed(2, "not everything is in the archive");
    tidewal(&["verify", log.path()]).assert_ok();
}

/// A retry cannot help if a permission is missing: the command says so and ends.
#[test]
fn regression_a_server_that_forbids_everything_ends_the_command() {
    let (log, server) = (Log::make(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        server
            .incoming()
            .for_each(|client| forbid(&client.unwrap()));
    });
    let ran = command(&["archive", "ship", log.path(), "s3://bucket/log"])
        .envs(server_environment(&address))
        .output()
        .unwrap();
    let ran = Ran::from(ran);
    ran.assert_failed(2, "403");
    assert!(
        ran.stderr.contains("next: check that the credentials"),
        "{}",
        ran.stderr
    );
    tidewal(&["verify", log.path()]).assert_ok();
}

/// Answers one request of a client.
fn forbid(mut client: &TcpStream) {
    let mut lines = BufReader::new(client).lines();
    while lines
        .next()
        .is_some_and(|line| !line.unwrap_or_default().is_empty())
    {}
    let _ = client
        .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

#[test]
fn a_log_goes_to_a_server_and_comes_back() {
    let Some(server) = Server::start() else {
        return;
    };
    wait_for(server.make_bucket());
    let (log, root) = (Log::make(), tempfile::tempdir().unwrap());
    let (url, copy) = (format!("s3://{BUCKET}/orders"), missing(root.path()));
    let run = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.envs(server_environment(&server.address));
        Ran::from(command.output().unwrap())
    };
    let ship = [
        "archive",
        "ship",
        log.path(),
        &url,
        "--give-up-after",
        "60s",
    ];
    run(&ship).assert_ok();
    run(&["archive", "verify", &url]).assert_ok();
    run(&["restore", &url, &copy]).assert_ok();
    let dumped = tidewal(&["dump", &copy, "--raw"]);
    assert_eq!(dumped.assert_ok().lines().len(), 900);
}

fn server_environment(address: &str) -> [(&'static str, &str); 5] {
    [
        ("AWS_ENDPOINT", address),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
}
