//! tidewal beside its peers, each on its durable path. See README.md.

mod args;
mod check;
mod machine;
mod measure;
mod peers;
mod table;
mod trace;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use args::{Args, HELP, Mode};
use measure::{Figures, measure};
use peers::{ALL, CONTROL, Entry, FLOOR, Peer, State};
use table::{Column, legend, table};

fn main() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let runtime = runtime(&args)?;
    // The peers find the runtime by this.
    let _in = runtime.enter();
    let entries = chosen(&args.only)?;
    let text = match &args.mode {
        Mode::Help => HELP.to_owned(),
        Mode::List => ALL
            .iter()
            .fold(String::new(), |text, entry| text + entry.name + "\n"),
        Mode::Compare => compare(&entries, &args)?,
        Mode::Check => checked(&entries, &args)?,
        Mode::Traced(name) => traced(name, &args)?,
    };
    print!("{text}");
    if let Some(path) = &args.markdown {
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The default one, with room for a blocked thread for each producer.
fn runtime(args: &Args) -> Result<tokio::runtime::Runtime> {
    let most = args.producers.iter().max().copied().unwrap_or(1);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_blocking_threads(most + 64);
    Ok(runtime.build()?)
}

/// The peers that are asked for: all, or some and the bare disk.
fn chosen(only: &[String]) -> Result<Vec<Entry>> {
    for name in only {
        ensure!(
            ALL.iter().any(|entry| entry.name == name),
            "no peer is called {name}, see --list"
        );
    }
    let wanted = |entry: &&Entry| {
        only.is_empty() || entry.name == FLOOR || only.iter().any(|name| name == entry.name)
    };
    Ok(ALL.iter().filter(wanted).copied().collect())
}

fn traced(name: &str, args: &Args) -> Result<String> {
    let mut all = ALL.iter().chain([&CONTROL]);
    let entry = all
        .find(|entry| entry.name == name)
        .context("no such peer")?;
    let dir = args.dir.as_deref().context("--dir")?;
    check::be_traced(entry, args, dir)?;
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

/// A peer, opened, and what was measured of it.
struct Contender {
    entry: Entry,
    peer: Box<dyn Peer>,
    /// By count of producers.
    columns: Vec<Vec<Figures>>,
}

fn compare(entries: &[Entry], args: &Args) -> Result<String> {
    let dir = scratch(args)?;
    if machine::is_memory(dir.path()) {
        eprintln!("This is a file system in memory: what follows says nothing about a disk.");
    }
    let mut contenders = Vec::new();
    for entry in entries {
        eprintln!("opening {}", entry.name);
        let opened = open(entry, args, dir.path());
        contenders.push(opened.with_context(|| entry.name.to_owned())?);
    }
    for round in 0..args.rounds {
        for nth in 0..args.producers.len() {
            measure_all(&mut contenders, args, round, nth)?;
        }
    }
    Ok(report(entries, &contenders, args, dir.path()))
}

fn open(entry: &Entry, args: &Args, dir: &Path) -> Result<Contender> {
    let dir = dir.join(entry.name);
    fs::create_dir(&dir)?;
    Ok(Contender {
        entry: *entry,
        peer: (entry.open)(&dir, State::Settled)?,
        columns: vec![Vec::new(); args.producers.len()],
    })
}

/// Each once, from another one on in each round.
fn measure_all(all: &mut [Contender], args: &Args, round: usize, nth: usize) -> Result<()> {
    let producers = args.producers[nth];
    for turn in 0..all.len() {
        let which = (turn + (round * args.producers.len() + nth) * STEP) % all.len();
        let contender = &mut all[which];
        let name = contender.entry.name;
        let figures = contender
            .measure(producers, args)
            .with_context(|| name.to_owned())?;
        eprintln!(
            "round {} of {}, {producers} producers, {name}: {:.0} appends/s, p50 {:?}, p99 {:?}",
            round + 1,
            args.rounds,
            figures.appends_per_second,
            figures.p50,
            figures.p99
        );
        contender.columns[nth].push(figures);
    }
    Ok(())
}

impl Contender {
    fn measure(&self, producers: usize, args: &Args) -> Result<Figures> {
        let producers = match self.entry.name == FLOOR {
            true => 1,
            false => producers,
        };
        let figures = measure(&*self.peer, producers, args.seconds, args.len)?;
        self.peer.trim()?;
        std::thread::sleep(REST);
        Ok(figures)
    }
}

fn report(entries: &[Entry], contenders: &[Contender], args: &Args, dir: &Path) -> String {
    let mut text = format!(
        "{}\n\n{} rounds of {:?} for each, in an order that turns; medians, ratios within a round.\n",
        machine::describe(dir),
        args.rounds,
        args.seconds,
    );
    for (nth, &producers) in args.producers.iter().enumerate() {
        let columns: Vec<Column> = contenders.iter().map(|c| c.column(nth)).collect();
        write!(text, "{}", table(producers, args.len, &columns)).expect("a string takes all");
    }
    text + &legend(entries, version)
}

impl Contender {
    fn column(&self, nth: usize) -> Column {
        Column {
            name: self.entry.name,
            rounds: self.columns[nth].clone(),
        }
    }
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

/// How far the order is turned from one pass to the next.
const STEP: usize = 3;

/// For what a peer still does in the background after it was trimmed.
const REST: Duration = Duration::from_millis(20);
