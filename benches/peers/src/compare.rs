//! The rounds: in each, every peer is measured with every workload.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::args::Args;
use crate::measure::{Figures, measure};
use crate::peers::{Entry, FLOOR, Peer, State};
use crate::resources::Device;
use crate::table::{Column, summary, table};
use crate::workload::Workload;

/// The tables, the summary first.
pub fn compare(entries: &[Entry], args: &Args, dir: &Path) -> Result<String> {
    let mut contenders = Vec::new();
    for entry in entries {
        let opened = Contender::open(entry, args, dir);
        contenders.push(opened.with_context(|| entry.name.to_owned())?);
    }
    for round in 0..args.rounds {
        for nth in 0..args.workloads.len() {
            measure_all(&mut contenders, args, round, nth)?;
        }
    }
    Ok(report(&contenders, args))
}

/// A peer and its measurements.
struct Contender {
    entry: Entry,
    /// In the state after a service's first minutes, if a workload needs that.
    settled: Option<Box<dyn Peer>>,
    dir: PathBuf,
    device: Device,
    /// By workload.
    columns: Vec<Vec<Figures>>,
}

/// Each peer once. Each round begins with another one.
fn measure_all(all: &mut [Contender], args: &Args, round: usize, nth: usize) -> Result<()> {
    let workload = &args.workloads[nth];
    for turn in 0..all.len() {
        let which = (turn + (round * args.workloads.len() + nth) * STEP) % all.len();
        let contender = &mut all[which];
        if !contender.entry.takes(workload) {
            continue;
        }
        let name = contender.entry.name;
        let figures = contender.measure(workload, args.seconds);
        let figures = figures.with_context(|| format!("{name}, {}", workload.name))?;
        eprintln!(
            "round {} of {}, {}, {name}: {:.0} records/s, p50 {:?}, p99 {:?}",
            round + 1,
            args.rounds,
            workload.title(),
            figures.records_per_second,
            figures.p50,
            figures.p99
        );
        contender.columns[nth].push(figures);
    }
    Ok(())
}

impl Contender {
    fn open(entry: &Entry, args: &Args, dir: &Path) -> Result<Self> {
        let dir = dir.join(entry.name);
        fs::create_dir(&dir)?;
        let device = Device::of(&dir);
        let mut contender = Self {
            entry: *entry,
            settled: None,
            dir,
            device,
            columns: vec![Vec::new(); args.workloads.len()],
        };
        let is_settled = |workload: &&Workload| workload.state == State::Settled;
        let mut settled = args.workloads.iter().filter(is_settled);
        if settled.any(|workload| entry.takes(workload)) {
            eprintln!("opening {}", entry.name);
            contender.settled = Some(contender.open_in("settled", State::Settled)?);
        }
        Ok(contender)
    }

    fn open_in(&self, name: &str, state: State) -> Result<Box<dyn Peer>> {
        let dir = self.dir.join(name);
        fs::create_dir(&dir)?;
        (self.entry.open)(&dir, state)
    }

    fn measure(&self, workload: &Workload, seconds: Duration) -> Result<Figures> {
        // One thread writes and syncs, however many producers the others have.
        let workload = &match self.entry.name == FLOOR {
            true => workload.of_the_floor(),
            false => *workload,
        };
        match &self.settled {
            Some(peer) if workload.state == State::Settled => {
                let figures = measure(&**peer, workload, (WARM_UP, seconds), &self.device)?;
                peer.trim()?;
                std::thread::sleep(REST);
                Ok(figures)
            }
            _ => self.measure_new(workload, seconds),
        }
    }

    /// Measured from its first append on.
    fn measure_new(&self, workload: &Workload, seconds: Duration) -> Result<Figures> {
        let peer = self.open_in(NEW, workload.state)?;
        let figures = measure(&*peer, workload, (Duration::ZERO, seconds), &self.device)?;
        drop(peer);
        std::thread::sleep(END);
        fs::remove_dir_all(self.dir.join(NEW))?;
        Ok(figures)
    }

    fn column(&self, nth: usize) -> Column {
        Column {
            name: self.entry.name,
            rounds: self.columns[nth].clone(),
        }
    }
}

fn report(contenders: &[Contender], args: &Args) -> String {
    let tables: Vec<(&Workload, Vec<Column>)> = args
        .workloads
        .iter()
        .enumerate()
        .map(|(nth, workload)| {
            let columns = contenders.iter().map(|contender| contender.column(nth));
            let measured = columns.filter(|column| !column.rounds.is_empty());
            (workload, measured.collect())
        })
        .collect();
    let each = tables
        .iter()
        .map(|(workload, columns)| table(workload, columns));
    let each: String = each.collect();
    summary(&tables) + &each
}

/// By how many places the order rotates from one pass to the next.
const STEP: usize = 3;

/// Long enough to start a thousand threads.
const WARM_UP: Duration = Duration::from_millis(200);

/// Time for the work that a peer does in the background after it was trimmed.
const REST: Duration = Duration::from_millis(20);

/// Time for a dropped peer to end.
const END: Duration = Duration::from_millis(100);

const NEW: &str = "new";
