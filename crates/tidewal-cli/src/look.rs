//! How things look: colours, a progress bar, numbers.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use tidewal::tools::{Observer, Progress, Survey};
use tidewal::{Lsn, Record};

use crate::failure::Failure;

/// Colours, if there is somebody to see them.
#[derive(Clone, Copy)]
pub struct Paint {
    is_on: bool,
}

impl Paint {
    /// Of a stream that is a terminal, unless `NO_COLOR` and the like say otherwise.
    pub fn of(stream: &impl anstream::stream::RawStream) -> Self {
        let choice = anstream::AutoStream::choice(stream);
        Self {
            is_on: choice != anstream::ColorChoice::Never,
        }
    }

    pub fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default().bold(), text)
    }

    pub fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    pub fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub fn faint(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        match self.is_on {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }
}

/// Standard output.
pub struct Out {
    stream: BufWriter<StdoutLock<'static>>,
    pub paint: Paint,
}

impl Out {
    pub fn new() -> Self {
        Self {
            stream: BufWriter::with_capacity(BUFFER_LEN, io::stdout().lock()),
            paint: Paint::of(&io::stdout()),
        }
    }

    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).map_err(Failure::Output)
    }

    /// For what writes piece by piece.
    pub fn writer(&mut self) -> &mut impl Write {
        &mut self.stream
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        self.stream.flush().map_err(Failure::Output)
    }
}

/// A bar on standard error, if that is a terminal.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(what: &'static str) -> Self {
        let template = "{prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is sound");
        let bar = ProgressBar::no_length().with_style(style);
        bar.set_prefix(what);
        Self(bar)
    }
}

impl Observer for Bar {
    fn progress(&mut self, progress: Progress) {
        self.0.set_length(progress.total);
        self.0.set_position(progress.read);
    }

    fn record(&mut self, _: Record) {}

    fn wants_records(&self) -> bool {
        false
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// `1 record`, `2 records`.
pub fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!(
        "{} {what}{plural}",
        crate::measure::report::thousands(number)
    )
}

/// The last record of a log, unless the header of its newest segment cannot be read. Such a log may hold any
/// number of records.
pub fn known_end(survey: &Survey) -> Option<Lsn> {
    let is_known = match survey.segments.last() {
        Some(newest) => newest.header.is_some() && (newest.last.is_some() || survey.in_use),
        None => survey.obstacles.is_empty(),
    };
    is_known.then_some(survey.end)
}

/// `64.0 MiB`.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Lines with columns of equal width; the last one is as wide as it is.
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

const BUFFER_LEN: usize = 64 * 1024;
