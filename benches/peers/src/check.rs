//! `--check`: each peer under `strace`, one producer.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::measure::{Marks, Producer, traced_workload};
use crate::peers::{CONTROL, Entry, State};
use crate::trace::{CALLS, Verdict, judge};

/// Whether `strace` is installed and permitted.
pub fn can_trace() -> bool {
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "true"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Traces all peers, and a control that does not sync and must fail.
pub fn check(entries: &[Entry], args: &Args, dir: &Path) -> Result<(String, bool)> {
    let mut text = format!(
        "\n### Syncs in {} appends of {} B\n\n{HEAD}",
        args.appends, args.len
    );
    let mut well = true;
    for entry in entries.iter().chain([&CONTROL]) {
        let verdict = trace(entry, args, dir).with_context(|| entry.name.to_owned())?;
        let holds = verdict.holds(args.appends);
        well &= holds == (entry.name != CONTROL.name);
        text += &row(entry.name, &verdict, holds);
    }
    Ok((text, well))
}

const HEAD: &str = "\
|  | acknowledged | after a write and a sync of it | syncs | calls seen |
|---|---:|---:|---:|---|
";

fn row(name: &str, verdict: &Verdict, holds: bool) -> String {
    let mut calls = String::new();
    for (call, count) in &verdict.calls {
        let comma = if calls.is_empty() { "" } else { ", " };
        write!(calls, "{comma}{count} {call}").expect("a string takes all");
    }
    let failed = if holds { "" } else { " **does not sync**" };
    let Verdict {
        appends, covered, ..
    } = verdict;
    format!(
        "| {name}{failed} | {appends} | {covered} | {} | {calls} |\n",
        verdict.syncs()
    )
}

/// Runs this program again, with one peer, under `strace`.
fn trace(entry: &Entry, args: &Args, dir: &Path) -> Result<Verdict> {
    let dir = tempfile::tempdir_in(dir)?;
    let output = dir.path().join("trace");
    let peer = dir.path().join("peer");
    fs::create_dir(&peer)?;
    let run = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", PRINTED, "-e", "signal=none", "-e"])
        .arg(format!("trace={CALLS}"))
        .arg("-o")
        .arg(&output)
        .arg(std::env::current_exe()?)
        .args(["--traced", entry.name, "--len", &args.len.to_string()])
        .args(["--appends", &args.appends.to_string(), "--dir"])
        .arg(&peer)
        .output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "it ended with {}: {said}", run.status);
    Ok(judge(&String::from_utf8_lossy(&fs::read(output)?)))
}

/// The traced process: one producer, with a mark after each acknowledgment.
pub fn be_traced(entry: &Entry, args: &Args, dir: &Path) -> Result<()> {
    let peer = (entry.open)(dir, State::Traced)?;
    let marks = Marks::begin(dir);
    let producer = Producer::marked(marks, traced_workload(args.len), args.appends);
    peer.start(producer).join()?;
    Ok(())
}

/// How many bytes of each write are in the trace: a page of SQLite, or some blocks.
const PRINTED: &str = "16384";
