//! Results as text: Markdown tables, which are also readable in a terminal, and JSON.

use serde_json::{Value, json};

use crate::measure::Scenario;
use crate::measure::config::Scale;
use crate::measure::context::BenchContext;
use crate::measure::figures::{Figure, Outcome, Row, Series, Table, Target, Unit};
use crate::measure::machine::Setting;

pub fn setting(setting: &Setting, context: &BenchContext) -> String {
    let rows = setting
        .facts
        .iter()
        .map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
    let mut text = table(&["", ""], rows.collect());
    text += &how(context);
    let warnings = setting.warnings.iter();
    text.extend(warnings.map(|warning| format!("WARNING: {warning}\n\n")));
    text
}

fn how(context: &BenchContext) -> String {
    let scale = match context.scale {
        Scale::Full => "",
        Scale::Quick => " This is a quick run: its figures are rough.",
        Scale::Test => " This only shows that it runs: its figures mean nothing.",
    };
    format!(
        "Slices of {:?}, {} of each method in turns. Medians (smallest..largest).{scale}\n\n",
        context.slice, context.rounds
    )
}

pub fn outcome(scenario: &Scenario, outcome: &Outcome) -> String {
    let name = scenario.name.to_uppercase();
    let mut text = format!("## {name}: {}\n\n", scenario.title);
    if !outcome.figures.is_empty() {
        let rows = outcome
            .figures
            .iter()
            .map(|figure| figure_cells(figure).into());
        let rows = rows.collect();
        text += &table(&["", "target", "got", ""], rows);
    }
    outcome.tables.iter().for_each(|table| text += &grid(table));
    text.extend(outcome.notes.iter().map(|note| format!("{note}\n\n")));
    text
}

/// How many targets were met, and which were not.
pub fn verdict(outcomes: &[(&Scenario, Outcome)]) -> String {
    let all = outcomes.iter().flat_map(|(scenario, outcome)| {
        let figures = outcome.figures.iter();
        figures.map(|figure| (scenario.name.to_uppercase(), figure))
    });
    let judged: Vec<_> = all
        .filter_map(|(name, figure)| Some((name, figure, figure.is_met()?)))
        .collect();
    let met = judged.iter().filter(|(_, _, met)| *met).count();
    if judged.is_empty() {
        return String::new();
    }
    let mut text = format!("{met} of {} targets met\n", judged.len());
    let missed = judged.iter().filter(|(_, _, met)| !met);
    text.extend(missed.map(|(name, figure, _)| {
        let [what, target, got, _] = figure_cells(figure);
        format!("  missed: {name} {what}: target {target}, got {got}\n")
    }));
    text
}

fn figure_cells(figure: &Figure) -> [String; 4] {
    let unit = figure.series.unit;
    let target = figure.target.map(|target| match target {
        Target::AtMost(bound) => format!("at most {}", unit.text(bound)),
        Target::AtLeast(bound) => format!("at least {}", unit.text(bound)),
    });
    let verdict = match figure.is_met() {
        Some(true) => "met",
        Some(false) => "missed",
        None => "",
    };
    [
        figure.what.clone(),
        target.unwrap_or_default(),
        with_spread(&figure.series),
        verdict.to_owned(),
    ]
}

/// Median and range, in the unit of the median: `138 µs (135..141)`.
fn with_spread(series: &Series) -> String {
    let (unit, median) = (series.unit.of(series.median()), series.median());
    if series.rounds.len() < 2 {
        return unit.text(median);
    }
    let (min, max) = (unit.digits(series.min()), unit.digits(series.max()));
    format!("{} ({min}..{max})", unit.text(median))
}

fn grid(grid: &Table) -> String {
    let header: Vec<&str> = std::iter::once("")
        .chain(grid.columns.iter().map(String::as_str))
        .collect();
    let rows = grid.rows.iter().map(|row| grid_cells(row, grid.spread));
    format!("{}\n\n{}", grid.title, table(&header, rows.collect()))
}

fn grid_cells(row: &Row, spread: bool) -> Vec<String> {
    let cell = |series: &Series| {
        if spread {
            with_spread(series)
        } else {
            series.unit.text(series.median())
        }
    };
    std::iter::once(row.name.clone())
        .chain(row.cells.iter().map(cell))
        .collect()
}

/// A Markdown table with columns of equal width.
fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let header = header.iter().map(|&cell| cell.to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    lines.extend(rows);
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let rule = widths.iter().map(|&width| "-".repeat(width)).collect();
    lines.insert(1, rule);
    let line = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    lines.iter().map(line).collect::<String>() + "\n"
}

/// A unit with its prefix.
struct Scaled {
    size: f64,
    suffix: &'static str,
}

impl Scaled {
    fn text(&self, value: f64) -> String {
        format!("{}{}", self.digits(value), self.suffix)
    }

    fn digits(&self, value: f64) -> String {
        three_digits(value / self.size)
    }
}

impl Unit {
    pub fn text(self, value: f64) -> String {
        self.of(value).text(value)
    }

    /// Scales the unit so this value has few digits.
    fn of(self, value: f64) -> Scaled {
        let (size, suffix) = match self {
            Self::Ratio => (1.0, " x"),
            Self::Count => (1.0, ""),
            Self::Time => match value {
                ..1e-6 => (1e-9, " ns"),
                ..1e-3 => (1e-6, " µs"),
                ..1.0 => (1e-3, " ms"),
                _ => (1.0, " s"),
            },
            Self::PerSecond => match value {
                ..1e3 => (1.0, "/s"),
                ..1e6 => (1e3, " k/s"),
                _ => (1e6, " M/s"),
            },
            Self::BytesPerSecond => match value {
                ..1e9 => (1e6, " MB/s"),
                _ => (1e9, " GB/s"),
            },
            Self::Bytes => match value {
                ..1_048_576.0 => (1024.0, " KiB"),
                _ => (1_048_576.0, " MiB"),
            },
        };
        Scaled { size, suffix }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ratio => "ratio",
            Self::Time => "seconds",
            Self::PerSecond => "per second",
            Self::BytesPerSecond => "bytes per second",
            Self::Bytes => "bytes",
            Self::Count => "count",
        }
    }
}

fn three_digits(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `1,024`.
pub fn thousands(number: u64) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (more, rest) => format!("{},{rest:03}", thousands(more)),
    }
}

/// All results, with every round.
pub fn json(
    setting: &Setting,
    context: &BenchContext,
    outcomes: &[(&Scenario, Outcome)],
) -> String {
    let facts = setting.facts.iter();
    let facts: serde_json::Map<String, Value> = facts
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let scenarios: Vec<Value> = outcomes
        .iter()
        .map(|(scenario, outcome)| scenario_json(scenario, outcome))
        .collect();
    let all = json!({
        "machine": facts,
        "warnings": setting.warnings,
        "rounds": context.rounds,
        "slice_seconds": context.slice.as_secs_f64(),
        "scenarios": scenarios,
    });
    format!("{all:#}\n")
}

fn scenario_json(scenario: &Scenario, outcome: &Outcome) -> Value {
    json!({
        "name": scenario.name,
        "title": scenario.title,
        "figures": outcome.figures.iter().map(figure_json).collect::<Vec<_>>(),
        "tables": outcome.tables.iter().map(table_json).collect::<Vec<_>>(),
        "notes": outcome.notes,
    })
}

fn figure_json(figure: &Figure) -> Value {
    let target = figure.target.map(|target| match target {
        Target::AtMost(bound) => json!({ "at_most": bound }),
        Target::AtLeast(bound) => json!({ "at_least": bound }),
    });
    json!({
        "what": figure.what,
        "target": target,
        "met": figure.is_met(),
        "got": series_json(&figure.series),
    })
}

fn table_json(table: &Table) -> Value {
    let row = |row: &Row| {
        let cells: Vec<Value> = row.cells.iter().map(series_json).collect();
        json!({ "name": row.name, "cells": cells })
    };
    json!({
        "title": table.title,
        "columns": table.columns,
        "rows": table.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn series_json(series: &Series) -> Value {
    json!({
        "unit": series.unit.name(),
        "median": series.median(),
        "min": series.min(),
        "max": series.max(),
        "rounds": series.rounds,
    })
}
