//! Memory: each peer in its own process, which does nothing else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::measure::measure;
use crate::peers::{Entry, FLOOR, State};
use crate::resources::{Device, peak_memory, reset_peak_memory};
use crate::workload::{self, Workload};

/// The table: the largest resident set under load, minus that of the process before it opened the log.
pub fn compare(entries: &[Entry], dir: &Path) -> Result<String> {
    let mut text = format!("\n### Memory: {}\n\n{HEAD}", load()?.title());
    for entry in entries.iter().filter(|entry| entry.name != FLOOR) {
        eprintln!("memory of {}", entry.name);
        let bytes = in_a_process(entry, dir).with_context(|| entry.name.to_owned())?;
        text += &format!(
            "| {} | {:.1} MiB |\n",
            entry.name,
            bytes / (1024.0 * 1024.0)
        );
    }
    Ok(text)
}

const HEAD: &str = "\
|  | at its peak |
|---|---:|
";

fn load() -> Result<Workload> {
    let mut all = workload::ALL.iter();
    let found = all.find(|workload| workload.name == "64");
    found.copied().context("there is such a workload")
}

/// Runs this program again, with one peer.
fn in_a_process(entry: &Entry, dir: &Path) -> Result<f64> {
    let dir = tempfile::tempdir_in(dir)?;
    let run = Command::new(std::env::current_exe()?)
        .args(["--memory-of", entry.name, "--dir"])
        .arg(dir.path())
        .output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "it ended with {}: {said}", run.status);
    Ok(String::from_utf8(run.stdout)?.trim().parse()?)
}

/// The work of that process: opens a new log, lets producers append to it, and prints how much memory that
/// took.
pub fn measured(entry: &Entry, dir: &Path) -> Result<String> {
    reset_peak_memory();
    let before = peak_memory();
    let peer = (entry.open)(dir, State::New)?;
    measure(&*peer, &load()?, (Duration::ZERO, LOAD), &Device::of(dir))?;
    Ok(format!("{}\n", peak_memory().saturating_sub(before)))
}

const LOAD: Duration = Duration::from_secs(1);
