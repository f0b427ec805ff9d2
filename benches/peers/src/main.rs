//! Compares tidewal with its peers, each on its durable path. See README.md.

mod args;
mod check;
mod compare;
mod machine;
mod measure;
mod memory;
mod peers;
mod recovery;
mod resources;
mod table;
mod trace;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use args::{Args, HELP, MEMORY, Mode, RECOVERY};
use peers::{ALL, CONTROL, Entry, FLOOR};
use table::legend;

fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let runtime = runtime()?;
    // Gives the peers access to the runtime.
    let _in = runtime.enter();
    let entries = chosen(&args.only)?;
    let text = match &args.mode {
        Mode::Help => HELP.to_owned(),
        Mode::List => list(),
        Mode::Compare => compare(&entries, &args)?,
        Mode::Check => checked(&entries, &args)?,
        Mode::Traced(name) => traced(name, &args)?,
        Mode::MemoryOf(name) => memory::measured(&entry(name)?, given_dir(&args)?)?,
    };
    print!("{text}");
    if let Some(path) = &args.markdown {
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The default runtime, with enough blocking threads for each producer to have one.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let producers = workload::ALL.iter().map(|workload| workload.producers);
    let most = producers.max().unwrap_or(1);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_blocking_threads(most + 64);
    Ok(runtime.build()?)
}

fn list() -> String {
    let peers = ALL.iter().map(|entry| format!("{}\n", entry.name));
    let workloads = workload::ALL
        .iter()
        .map(|workload| format!("  {}: {}\n", workload.name, workload.title()));
    format!(
        "Peers:\n{}Workloads:\n{}  {RECOVERY}\n  {MEMORY}\n",
        peers.map(|name| format!("  {name}")).collect::<String>(),
        workloads.collect::<String>()
    )
}

/// The requested peers: all of them, or some and the bare disk.
fn chosen(only: &[String]) -> Result<Vec<Entry>> {
    for name in only {
        entry(name)?;
    }
    let wanted = |entry: &&Entry| {
        only.is_empty() || entry.name == FLOOR || only.iter().any(|name| name == entry.name)
    };
    Ok(ALL.iter().filter(wanted).copied().collect())
}

fn entry(name: &str) -> Result<Entry> {
    let mut all = ALL.iter().chain([&CONTROL]);
    let entry = all.find(|entry| entry.name == name);
    entry
        .copied()
        .with_context(|| format!("no peer is called {name}, see --list"))
}

fn given_dir(args: &Args) -> Result<&Path> {
    args.dir.as_deref().context("--dir")
}

fn traced(name: &str, args: &Args) -> Result<String> {
    check::be_traced(&entry(name)?, args, given_dir(args)?)?;
    Ok(String::new())
}

fn checked(entries: &[Entry], args: &Args) -> Result<String> {
    if !check::can_trace() {
        return Ok("Not checked: strace is not there, or may not trace here.\n".into());
    }
    let dir = scratch(args)?;
    let (text, well) = check::check(entries, args, dir.path())?;
    if !well {
        bail!("a peer does not sync, or the control was not caught\n{text}");
    }
    Ok(text + "\nEach peer syncs before it acknowledges; the control was caught.\n")
}

fn compare(entries: &[Entry], args: &Args) -> Result<String> {
    let dir = scratch(args)?;
    let dir = dir.path();
    if machine::is_memory(dir) {
        eprintln!("This is a file system in memory: what follows says nothing about a disk.");
    }
    let mut text = format!(
        "{}\n\n{} rounds of {:?} for each, in an order that turns; medians, ratios within a round.\n",
        machine::describe(dir),
        args.rounds,
        args.seconds,
    );
    if !args.workloads.is_empty() {
        text += &compare::compare(entries, args, dir)?;
    }
    if args.parts.recovery {
        text += &recovery::compare(entries, args, dir)?;
    }
    if args.parts.memory {
        text += &memory::compare(entries, dir)?;
    }
    Ok(text + &legend(entries, version))
}

fn version(entry: &Entry) -> Option<String> {
    let name = entry.of?;
    let version = machine::version_of(name)?;
    match name == "rusqlite" {
        true => Some(format!("{version} (SQLite {})", peers::sqlite_version())),
        false => Some(version.to_owned()),
    }
}

/// An empty directory on the disk in question.
fn scratch(args: &Args) -> Result<TempDir> {
    let root = match &args.dir {
        Some(dir) => dir.clone(),
        None => beside_the_executable()?,
    };
    fs::create_dir_all(&root)?;
    let dir = tempfile::Builder::new()
        .prefix("tidewal-peers-")
        .tempdir_in(&root)?;
    eprintln!("writing to {}", dir.path().display());
    Ok(dir)
}

fn beside_the_executable() -> Result<PathBuf> {
    let executable = std::env::current_exe()?;
    Ok(executable
        .parent()
        .context("an executable is in a directory")?
        .to_owned())
}
