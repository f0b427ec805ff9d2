//! How values are printed: colors, counts, sizes, paths, columns.

use std::path::Path;

use anstyle::{AnsiColor, Style};

/// Colors, for a terminal.
#[derive(Clone, Copy)]
pub struct Paint {
    is_on: bool,
}

impl Paint {
    /// Colors if the stream is a terminal, unless `NO_COLOR` or a similar variable turns them off.
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

/// `1 record`, `2 records`.
pub fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!(
        "{} {what}{plural}",
        crate::measure::report::thousands(number)
    )
}

/// `64.0 MiB`.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A path, quoted for a shell.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Lines with aligned columns. The last column is not padded.
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
