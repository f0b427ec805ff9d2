//! Reading logs back from a warm cache: each is written once, then the readers alternate.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::peers::{Entry, FLOOR, Recovery};
use crate::table::{count, median, sorted};
use crate::workload::{grouped, size};

/// The contents of a log.
#[derive(Clone, Copy)]
struct Shape {
    records: usize,
    len: usize,
}

/// The tables.
pub fn compare(entries: &[Entry], args: &Args, dir: &Path) -> Result<String> {
    let mut text = String::new();
    for shape in SHAPES {
        text += &compare_shape(entries, shape, args, dir)?;
    }
    Ok(text)
}

/// A log that was written, and the times of reading it.
struct Written {
    name: &'static str,
    recovery: Recovery,
    dir: PathBuf,
    times: Vec<Duration>,
}

fn compare_shape(entries: &[Entry], shape: Shape, args: &Args, dir: &Path) -> Result<String> {
    let mut logs = Vec::new();
    for entry in entries {
        if let Some(recovery) = entry.recovery {
            eprintln!(
                "writing {} records of {} with {}",
                shape.records,
                size(shape.len),
                entry.name
            );
            let log = Written::write(entry.name, recovery, shape, dir);
            logs.push(log.with_context(|| entry.name.to_owned())?);
        }
    }
    // The first reading brings everything into the cache.
    for round in 0..=args.rounds {
        for turn in 0..logs.len() {
            let which = (turn + round) % logs.len();
            let log = &mut logs[which];
            let time = log.read(shape).with_context(|| log.name.to_owned())?;
            eprintln!(
                "round {round} of {}, {}: read in {time:?}",
                args.rounds, log.name
            );
            if round > 0 {
                log.times.push(time);
            }
        }
    }
    logs.iter()
        .try_for_each(|log| fs::remove_dir_all(&log.dir))?;
    Ok(table(&logs, shape))
}

impl Written {
    fn write(name: &'static str, recovery: Recovery, shape: Shape, dir: &Path) -> Result<Self> {
        let dir = dir.join(format!("recovery-{name}"));
        fs::create_dir(&dir)?;
        (recovery.fill)(&dir, shape.records, shape.len)?;
        Ok(Self {
            name,
            recovery,
            dir,
            times: Vec::new(),
        })
    }

    fn read(&self, shape: Shape) -> Result<Duration> {
        let start = Instant::now();
        let (records, bytes) = (self.recovery.read)(&self.dir)?;
        let time = start.elapsed();
        let expected = (shape.records as u64, (shape.records * shape.len) as u64);
        ensure!(
            (records, bytes) == expected,
            "{records} records, {bytes} bytes"
        );
        Ok(time)
    }
}

fn table(logs: &[Written], shape: Shape) -> String {
    let mut text = format!(
        "\n### Recovery of {} records of {}\n\n{HEAD}",
        grouped(shape.records),
        size(shape.len)
    );
    for log in logs {
        text += &row(log, logs, shape);
    }
    text
}

const HEAD: &str = "\
|  | records/s | least to most | GB/s of payload | of the bare reader's |
|---|---:|---:|---:|---:|
";

fn row(log: &Written, all: &[Written], shape: Shape) -> String {
    let records = float(shape.records);
    let rates = sorted(log.times.iter().map(|time| records / time.as_secs_f64()));
    let of_bare = all.iter().find(|log| log.name == FLOOR).map(|bare| {
        let times = bare.times.iter().zip(&log.times);
        let ratios = times.map(|(bare, log)| bare.div_duration_f64(*log));
        format!("{:.2} x", median(&sorted(ratios)))
    });
    format!(
        "| {} | {} | {} to {} | {:.2} | {} |\n",
        log.name,
        count(median(&rates)),
        count(rates[0]),
        count(rates[rates.len() - 1]),
        median(&rates) * float(shape.len) / 1e9,
        of_bare.unwrap_or_default()
    )
}

#[expect(clippy::cast_precision_loss, reason = "nothing here comes near 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}

const SHAPES: [Shape; 2] = [
    Shape {
        records: 1_000_000,
        len: 100,
    },
    Shape {
        records: 4_096,
        len: 64 * 1024,
    },
];
