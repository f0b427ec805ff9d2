//! Results: a figure is a series of rounds, with an optional target.

/// What a scenario found.
#[derive(Default)]
pub struct Outcome {
    pub figures: Vec<Figure>,
    pub tables: Vec<Table>,
    pub notes: Vec<String>,
    /// The data of the plot of S9.
    pub sweep: Option<Sweep>,
}

/// One line of a scenario.
pub struct Figure {
    pub what: String,
    pub series: Series,
    pub target: Option<Target>,
}

/// One value in several rounds.
#[derive(Clone)]
pub struct Series {
    pub unit: Unit,
    pub rounds: Vec<f64>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Unit {
    Ratio,
    /// In seconds.
    Time,
    PerSecond,
    BytesPerSecond,
    Bytes,
    Count,
}

#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// Many figures of the same kind.
pub struct Table {
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    /// Whether the smallest and the largest value are shown too.
    pub spread: bool,
}

pub struct Row {
    pub name: String,
    pub cells: Vec<Series>,
}

/// Throughput and latency against the interval between syncs.
pub struct Sweep {
    /// In milliseconds. `None` means to sync as soon as the disk is free.
    pub intervals: Vec<Option<f64>>,
    pub lines: Vec<Line>,
    /// The latency of a bare write and sync.
    pub baseline: Point,
}

/// One number of producers.
pub struct Line {
    pub producers: usize,
    pub points: Vec<Point>,
}

/// Medians. Times are in seconds.
#[derive(Clone, Copy)]
pub struct Point {
    pub rate: f64,
    pub syncs: f64,
    pub p50: f64,
    pub p99: f64,
}

impl Outcome {
    /// Adds a figure without a target. A figure that could not be measured is left out.
    pub fn show(&mut self, what: impl Into<String>, unit: Unit, rounds: Option<Vec<f64>>) {
        self.add(what.into(), unit, rounds, None);
    }

    /// Adds a figure with a target.
    pub fn aim(
        &mut self,
        what: impl Into<String>,
        unit: Unit,
        rounds: Option<Vec<f64>>,
        target: Target,
    ) {
        self.add(what.into(), unit, rounds, Some(target));
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn add(&mut self, what: String, unit: Unit, rounds: Option<Vec<f64>>, target: Option<Target>) {
        match rounds {
            Some(rounds) => self.figures.push(Figure {
                what,
                series: Series { unit, rounds },
                target,
            }),
            None => self.note(format!("not measured here: {what}")),
        }
    }
}

impl Figure {
    /// Whether the median meets the target.
    pub fn is_met(&self) -> Option<bool> {
        Some(self.target?.admits(self.series.median()))
    }
}

impl Target {
    fn admits(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl Series {
    pub fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        }
    }

    pub fn min(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn max(&self) -> f64 {
        self.rounds.iter().copied().fold(0.0, f64::max)
    }
}
