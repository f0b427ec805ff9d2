//! Medians and quantiles, and what the command line says about rounds.

use std::time::Duration;

use crate::is_test;

/// Median (least..most).
pub fn spread(values: &[f64]) -> String {
    let at = |percent| quantile(values.to_vec(), percent);
    let digits = if at(50) < 100.0 { 2 } else { 0 };
    let (median, least, most) = (at(50), at(0), at(100));
    format!("{median:.digits$} ({least:.digits$}..{most:.digits$})")
}

pub fn median(values: Vec<f64>) -> f64 {
    quantile(values, 50)
}

pub fn quantile(mut values: Vec<f64>, percent: usize) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure of a benchmark has few digits"
)]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// The number behind a flag of the command line.
pub fn number(flag: &str, otherwise: u64) -> u64 {
    value(flag).map_or(otherwise, |number| {
        number.parse().expect("a flag is followed by a number")
    })
}

fn value(flag: &str) -> Option<String> {
    std::env::args()
        .skip_while(|argument| argument != flag)
        .nth(1)
}

/// How often and how long a benchmark of rounds measures.
pub struct Scale {
    pub rounds: usize,
    /// The time of one load.
    pub slice: Duration,
}

impl Scale {
    /// `--rounds` (7) and `--seconds` (3), or one short round in a test.
    pub fn from_args() -> Self {
        if is_test() {
            return Self {
                rounds: 1,
                slice: Duration::from_millis(200),
            };
        }
        Self {
            rounds: usize::try_from(number("--rounds", 7)).expect("few rounds"),
            slice: Duration::from_secs(number("--seconds", 3)),
        }
    }
}
