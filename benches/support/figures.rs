//! Medians and quantiles, and numbers behind flags of the command line.

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
