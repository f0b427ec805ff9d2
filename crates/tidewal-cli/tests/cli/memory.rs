//! The memory that the commands take, with a record of 100 MiB. Each command runs in a process whose address space is
//! limited. That is more than the memory that it uses: the code, and the stacks of threads, count too.

use std::process::Stdio;

use crate::helpers::{Log, Ran, command, wait_for};

/// The length of the only record.
const RECORD: u64 = 100 * MIB;

/// A command that keeps no payload.
const WITHOUT_PAYLOADS: u64 = 64 * MIB;

/// A command that prints payloads.
const WITH_A_PAYLOAD: u64 = RECORD + 64 * MIB;

const MIB: u64 = 1024 * 1024;

fn large() -> Log {
    let log = Log::empty();
    wait_for(async {
        let len = usize::try_from(RECORD).unwrap();
        let options = Log::options().segment_size(2 * RECORD);
        let options = options.max_record_size(len);
        let wal = options.open(&log.dir).await.unwrap();
        wal.append(vec![b'x'; len]).await.unwrap();
        wal.close().await.unwrap();
    });
    log
}

/// Runs a command that may use this many bytes of address space.
fn within(limit: u64, arguments: &[&str]) -> Ran {
    let program = command(&[]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "ulimit -v $0 && exec \"$@\""])
        .arg((limit / 1024).to_string())
        .arg(program.get_program())
        .args(arguments)
        // Each thread of a process may otherwise reserve an arena of 64 MiB.
        .envs([("MALLOC_ARENA_MAX", "1"), ("TOKIO_WORKER_THREADS", "2")])
        .stdout(Stdio::null());
    let output = shell.output().unwrap();
    let code = output.status.code();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Ran {
        code: code.unwrap_or_else(|| panic!("{arguments:?}: {}: {stderr}", output.status)),
        stdout: output.stdout,
        stderr,
    }
}

#[test]
fn a_dump_takes_the_memory_of_the_largest_record() {
    let log = large();
    for format in [
        &["--raw"][..],
        &["--raw", "--prefixed"],
        &["--raw", "--salvage"],
        &["--format", "text"],
        &["--format", "hex"],
        &["--format", "json"],
    ] {
        let arguments = [&["dump", log.path()], format].concat();
        within(WITH_A_PAYLOAD, &arguments).assert_ok();
    }
}

#[test]
fn what_does_not_print_payloads_keeps_none_of_a_large_record() {
    let log = large();
    for command in ["inspect", "verify"] {
        within(WITHOUT_PAYLOADS, &[command, log.path()]).assert_ok();
    }
    log.damage(0, 4096 + 20 + RECORD / 2);
    for command in ["inspect", "verify", "repair"] {
        let ran = within(WITHOUT_PAYLOADS, &[command, log.path()]);
        assert_eq!(ran.code, 1, "{command}: {}", ran.stderr);
    }
}

/// A part of 8 MiB is in memory, three of them while an archive is verified.
#[cfg(feature = "archive")]
#[test]
fn an_archive_is_read_part_by_part() {
    let (log, root) = (large(), tempfile::tempdir().unwrap());
    let [store, copy] = ["store", "copy"].map(|name| {
        let path = root.path().join(name);
        path.to_str().unwrap().to_owned()
    });
    let limit = 96 * MIB;
    within(limit, &["archive", "ship", log.path(), &store]).assert_ok();
    within(limit, &["archive", "verify", &store]).assert_ok();
    within(limit, &["restore", &store, &copy]).assert_ok();
    within(WITHOUT_PAYLOADS, &["verify", &copy]).assert_ok();
}
