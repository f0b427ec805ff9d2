//! Standard output, and a progress bar on standard error.

use std::io::{self, BufWriter, StdoutLock, Write};

use indicatif::{ProgressBar, ProgressStyle};
use tidewal::Record;
use tidewal::tools::{Observer, Progress};

use crate::display::Paint;
use crate::failure::Failure;

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

    /// For callers that write piece by piece.
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

const BUFFER_LEN: usize = 64 * 1024;
