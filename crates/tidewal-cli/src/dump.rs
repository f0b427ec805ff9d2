//! `tidewal dump`

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tidewal::tools::{Depth, LogDir, Observer, Progress};
use tidewal::{Error, Lsn, Reader, Record, Wal};

use crate::cli::{Dump, Format};
use crate::failure::{DAMAGED, Failure};
use crate::look::Out;
use crate::payload::{escaped, hex};
use crate::wait::wait_for;

pub fn run(args: &Dump) -> Result<ExitCode, Failure> {
    let mut printer = Printer {
        out: Out::new(),
        args,
        failure: None,
    };
    let dumped = if args.salvage {
        salvage(args, &mut printer)
    } else {
        wait_for(dump(args, &mut printer)).map(|()| ExitCode::SUCCESS)
    };
    // What was read before an error is worth having.
    let flushed = printer.out.flush();
    let code = dumped?;
    flushed?;
    Ok(code)
}

async fn dump(args: &Dump, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut reader = open(args).await?;
    while let Some(record) = reader.try_next().await? {
        if args.to.is_some_and(|to| record.lsn > Lsn::new(to)) {
            break;
        }
        printer.print(&record)?;
    }
    Ok(())
}

async fn open(args: &Dump) -> Result<Reader, Failure> {
    loop {
        let mut options = Wal::options();
        if let Some(from) = args.from {
            options = options.start_at(Lsn::new(from));
        }
        match options.read(&args.dir).await {
            Err(Error::Locked { .. }) if args.wait => tokio::time::sleep(LOOK_AGAIN).await,
            opened => return Ok(opened?),
        }
    }
}

/// Prints what can be read, and says on standard error what is missing.
fn salvage(args: &Dump, printer: &mut Printer<'_>) -> Result<ExitCode, Failure> {
    let survey = wait_for(LogDir::new(&args.dir).survey(Depth::Everything, printer))?;
    if let Some(failure) = printer.failure.take() {
        return Err(failure);
    }
    printer.out.flush()?;
    for damage in &survey.damages {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "tidewal: not there: {damage}");
    }
    if let Some(obstacle) = survey.obstacles.into_iter().next() {
        return Err(obstacle.into());
    }
    match survey.damages.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(DAMAGED)),
    }
}

struct Printer<'a> {
    out: Out,
    args: &'a Dump,
    /// The first one; nothing is printed after it.
    failure: Option<Failure>,
}

impl Printer<'_> {
    fn print(&mut self, record: &Record) -> Result<(), Failure> {
        let (lsn, payload) = (record.lsn, &record.payload);
        if self.args.raw {
            return self.print_raw(payload);
        }
        let line = match self.args.format {
            Format::Text => format!("{lsn}\t{}", escaped(payload)),
            Format::Hex => format!("{lsn}\t{}", hex(payload)),
            Format::Json => match std::str::from_utf8(payload) {
                Ok(text) => json!({ "lsn": lsn.get(), "len": payload.len(), "text": text }),
                Err(_) => json!({ "lsn": lsn.get(), "len": payload.len(), "hex": hex(payload) }),
            }
            .to_string(),
        };
        self.out.line(&line)
    }

    fn print_raw(&mut self, payload: &[u8]) -> Result<(), Failure> {
        if !self.args.prefixed {
            self.out.bytes(payload)?;
            return self.out.bytes(b"\n");
        }
        let len = u32::try_from(payload.len()).expect("a record fits into a segment");
        self.out.bytes(&len.to_le_bytes())?;
        self.out.bytes(payload)
    }

    fn is_wanted(&self, lsn: Lsn) -> bool {
        self.args.from.is_none_or(|from| lsn >= Lsn::new(from))
            && self.args.to.is_none_or(|to| lsn <= Lsn::new(to))
    }
}

impl Observer for Printer<'_> {
    fn progress(&mut self, _: Progress) {}

    fn record(&mut self, record: Record) {
        if self.failure.is_none() && self.is_wanted(record.lsn) {
            self.failure = self.print(&record).err();
        }
    }
}

/// How often it is tried whether a log is free.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
