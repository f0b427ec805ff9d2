//! The figures of all rounds as tables in Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::measure::Figures;
use crate::peers::{Entry, FLOOR, TIDEWAL};
use crate::workload::Workload;

/// One peer's figures with one workload, one for each round.
pub struct Column {
    pub name: &'static str,
    pub rounds: Vec<Figures>,
}

/// One line for each workload: this log, the best peer, and the ratio.
pub fn summary(tables: &[(&Workload, Vec<Column>)]) -> String {
    let mut text = format!("\n### All at a glance\n\n{SUMMARY_HEAD}");
    for (workload, columns) in tables {
        text += &summary_row(workload, columns);
    }
    text
}

const SUMMARY_HEAD: &str = "\
|  | tidewal, records/s | p50 | p99 | processor time a record | disk bytes a byte | the best peer, records/s | tidewal relative to it |
|---|---:|---:|---:|---:|---:|---|---:|
";

fn summary_row(workload: &Workload, columns: &[Column]) -> String {
    let Some(tidewal) = find(columns, TIDEWAL) else {
        return String::new();
    };
    let peers = columns
        .iter()
        .filter(|peer| ![FLOOR, TIDEWAL].contains(&peer.name));
    let best = peers.max_by(|a, b| a.speed().total_cmp(&b.speed()));
    let (name, ratio) = match best {
        Some(best) => (
            format!("{}, {}", best.name, count(best.speed())),
            relative(tidewal, Some(best), speed_ratio),
        ),
        None => (String::new(), String::new()),
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {name} | {ratio} |\n",
        workload.title(),
        count(tidewal.speed()),
        known(latency(tidewal, |f| f.p50), time),
        known(latency(tidewal, |f| f.p99), time),
        known(latency(tidewal, |f| f.processor), nanos),
        disk(tidewal),
    )
}

impl Column {
    fn speed(&self) -> f64 {
        median(&sorted(self.rounds.iter().map(speed)))
    }
}

/// The table for one workload.
pub fn table(workload: &Workload, columns: &[Column]) -> String {
    let mut text = format!("\n### Peers: {}\n\n{HEAD}", workload.title());
    for column in columns {
        text += &row(column, columns);
    }
    text + &better(columns)
}

const HEAD: &str = "\
|  | records/s | least to most | of tidewal's | p50 | p99 | p50 in bare syncs | processor time a record | disk bytes a byte |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
";

fn row(column: &Column, all: &[Column]) -> String {
    let speed = sorted(column.rounds.iter().map(speed));
    let (p50, p99) = (latency(column, |f| f.p50), latency(column, |f| f.p99));
    format!(
        "| {} | {} | {} to {} | {} | {} | {} | {} | {} | {} |\n",
        column.name,
        count(median(&speed)),
        count(speed[0]),
        count(speed[speed.len() - 1]),
        relative(column, find(all, TIDEWAL), speed_ratio),
        known(p50, time),
        known(p99, time),
        relative(column, find(all, FLOOR), p50_ratio),
        known(latency(column, |f| f.processor), nanos),
        disk(column),
    )
}

/// Bytes written to the disk for each byte of payload, where the system reports it.
fn disk(column: &Column) -> String {
    let rounds = column.rounds.iter().filter(|f| has_records(f));
    known(median_of(rounds.filter_map(|f| f.disk_ratio)), |ratio| {
        format!("{ratio:.2}")
    })
}

/// A cell without a figure stays empty.
fn known(figure: Option<f64>, text: fn(f64) -> String) -> String {
    figure.map_or(String::new(), text)
}

fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns.iter().find(|column| column.name == name)
}

fn speed(figures: &Figures) -> f64 {
    figures.records_per_second
}

fn speed_ratio(a: &Figures, b: &Figures) -> Option<f64> {
    has_records(&b).then(|| a.records_per_second / b.records_per_second)
}

fn p50_ratio(a: &Figures, b: &Figures) -> Option<f64> {
    (has_records(&a) && has_records(&b)).then(|| a.p50.div_duration_f64(b.p50))
}

/// The median over the rounds of the ratio of two peers in the same round.
fn relative(a: &Column, b: Option<&Column>, ratio: Ratio) -> String {
    let Some(b) = b else {
        return String::new();
    };
    known(median_ratio(a, b, ratio), times)
}

fn median_ratio(a: &Column, b: &Column, ratio: Ratio) -> Option<f64> {
    let rounds = a.rounds.iter().zip(&b.rounds);
    median_of(rounds.filter_map(|(a, b)| ratio(a, b)))
}

/// One figure of two, if both have it.
type Ratio = fn(&Figures, &Figures) -> Option<f64>;

fn times(ratio: f64) -> String {
    match ratio {
        10.0.. => format!("{ratio:.0} x"),
        0.1.. => format!("{ratio:.2} x"),
        _ => format!("{ratio:.4} x"),
    }
}

/// The median over the rounds that have at least one record.
fn latency(column: &Column, of: fn(&Figures) -> Duration) -> Option<f64> {
    median_of(
        column
            .rounds
            .iter()
            .filter(|f| has_records(f))
            .map(|f| of(f).as_secs_f64()),
    )
}

fn has_records(figures: &&Figures) -> bool {
    figures.records_per_second > 0.0
}

fn median_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values = sorted(values);
    (!values.is_empty()).then(|| median(&values))
}

/// Lists where a peer is better than tidewal, so readers do not have to look for it.
fn better(columns: &[Column]) -> String {
    let Some(tidewal) = find(columns, TIDEWAL) else {
        return String::new();
    };
    let peers = columns.iter().filter(|peer| peer.name != FLOOR);
    let wins: Vec<String> = peers.filter_map(|peer| wins(peer, tidewal)).collect();
    match wins.is_empty() {
        true => "\nNo peer is better in a median here.\n".into(),
        false => format!("\nBetter than tidewal here: {}.\n", wins.join("; ")),
    }
}

fn wins(peer: &Column, tidewal: &Column) -> Option<String> {
    let speed_of = |c: &Column| median(&sorted(c.rounds.iter().map(speed)));
    let ratio = median_ratio(peer, tidewal, speed_ratio);
    let less = |of| {
        let both = latency(peer, of).zip(latency(tidewal, of));
        both.is_some_and(|(peer, tidewal)| peer < tidewal)
    };
    let wins = [
        (
            "records/s",
            ratio > Some(1.0) || speed_of(peer) > speed_of(tidewal),
        ),
        ("p50", less(|f| f.p50)),
        ("p99", less(|f| f.p99)),
    ];
    let wins: Vec<&str> = wins.iter().filter(|win| win.1).map(|win| win.0).collect();
    (!wins.is_empty()).then(|| format!("{} ({})", peer.name, wins.join(", ")))
}

/// The peers, and how they were called.
pub fn legend(entries: &[Entry], version: impl Fn(&Entry) -> Option<String>) -> String {
    let mut text = String::from("\n| | version | the call |\n|---|---|---|\n");
    for entry in entries {
        let version = version(entry).unwrap_or_default();
        let line = writeln!(text, "| {} | {version} | {} |", entry.name, entry.how);
        line.expect("a string takes all");
    }
    text
}

pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The median of sorted values, of which there is at least one. Of an even number, the lower of the two.
pub fn median(sorted: &[f64]) -> f64 {
    sorted[(sorted.len() - 1) / 2]
}

/// A number to about three digits, in groups of three.
pub fn count(value: f64) -> String {
    let digits = match value {
        100_000.0.. => format!("{:.0}", (value / 1_000.0).round() * 1_000.0),
        10_000.0.. => format!("{:.0}", (value / 100.0).round() * 100.0),
        _ => format!("{value:.0}"),
    };
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn nanos(seconds: f64) -> String {
    match seconds * 1e9 {
        nanos @ 10_000.0.. => time(nanos / 1e9),
        nanos => format!("{} ns", count(nanos)),
    }
}

fn time(seconds: f64) -> String {
    match seconds * 1e6 {
        micros @ 10_000.0.. => format!("{:.1} ms", micros / 1e3),
        micros @ 1_000.0.. => format!("{:.2} ms", micros / 1e3),
        micros => format!("{micros:.0} µs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &'static str, speeds: &[f64], micros: u64) -> Column {
        let rounds = speeds.iter().map(|&records_per_second| Figures {
            records_per_second,
            p50: Duration::from_micros(micros),
            p99: Duration::from_micros(2 * micros),
            processor: Duration::from_nanos(450),
            disk_ratio: Some(1.234),
        });
        Column {
            name,
            rounds: rounds.collect(),
        }
    }

    #[test]
    fn a_row_has_medians_and_ratios_within_rounds() {
        let columns = [
            column(FLOOR, &[5_000.0; 3], 100),
            column(TIDEWAL, &[10_000.0, 20_000.0, 40_000.0], 120),
            column("peer", &[5_000.0, 4_000.0, 30_000.0], 150),
        ];
        let text = table(&workload(), &columns);
        let row = "| peer | 5,000 | 4,000 to 30,000 | 0.50 x | 150 µs | 300 µs | 1.50 x | 450 ns | 1.23 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("No peer is better"), "{text}");
    }

    fn workload() -> Workload {
        crate::workload::ALL[0]
    }

    #[test]
    fn the_summary_names_the_best_peer() {
        let columns = vec![
            column(FLOOR, &[90_000.0], 1),
            column(TIDEWAL, &[10_000.0], 120),
            column("slow", &[2_000.0], 130),
            column("fast", &[20_000.0], 130),
        ];
        let text = summary(&[(&workload(), columns)]);
        let row = "| 1 producer, 100 B | 10,000 | 120 µs | 240 µs | 450 ns | 1.23 | fast, 20,000 | 0.50 x |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn where_a_peer_wins_is_said() {
        let columns = [
            column(FLOOR, &[9_999.0], 1),
            column(TIDEWAL, &[10.0], 120),
            column("fast", &[11.0], 130),
            column("quick", &[9.0], 110),
        ];
        let text = better(&columns);
        assert_eq!(
            text,
            "\nBetter than tidewal here: fast (records/s); quick (p50, p99).\n"
        );
    }

    #[test]
    fn a_peer_without_records_has_no_latency_and_is_not_better() {
        let columns = [
            column(FLOOR, &[9_999.0], 1),
            column(TIDEWAL, &[10.0], 120),
            column("stuck", &[0.0], 0),
        ];
        let row = "| stuck | 0 | 0 to 0 | 0.0000 x |  |  |  |  |  |";
        let text = table(&workload(), &columns);
        assert!(text.contains(row), "{text}");
        assert!(text.contains("No peer is better"), "{text}");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(999.4), "999");
        assert_eq!(count(12_345.0), "12,300");
        assert_eq!(count(1_234_567.0), "1,235,000");
    }
}
