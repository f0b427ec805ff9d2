//! `tidewal dump`

use std::process::ExitCode;
use std::time::Duration;

use tidewal::tools::{Depth, LogDir, Observer, Progress};
use tidewal::{Error, Lsn, Reader, Record, Wal};

use crate::cli::{Dump, Format};
use crate::failure::{DAMAGED, Failure};
use crate::findings::check_is_log;
use crate::output::Out;
use crate::payload::{PIECE_LEN, escape, hex};
use crate::wait::wait_for;

pub fn run(args: &Dump) -> Result<ExitCode, Failure> {
    check_range(args)?;
    check_is_log(&args.dir)?;
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
    // The records before an error are printed.
    let flushed = printer.out.flush();
    let code = dumped?;
    flushed?;
    Ok(code)
}

fn check_range(args: &Dump) -> Result<(), Failure> {
    match (args.from, args.to) {
        (Some(from), Some(to)) if from > to => Err(Failure::Other(
            format!("--from {from} is after --to {to}"),
            "name a first record that is not after the last one".into(),
        )),
        _ => Ok(()),
    }
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

/// Prints every record that can be read, and reports on standard error what is missing.
fn salvage(args: &Dump, printer: &mut Printer<'_>) -> Result<ExitCode, Failure> {
    let survey = LogDir::new(&args.dir).survey_with(Depth::Everything, printer)?;
    if let Some(failure) = printer.failure.take() {
        return Err(failure);
    }
    printer.out.flush()?;
    for corruption in &survey.corruptions {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "tidewal: missing: {corruption}");
    }
    if let Some(error) = survey.read_errors.into_iter().next() {
        return Err(error.into());
    }
    match survey.corruptions.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(DAMAGED)),
    }
}

struct Printer<'a> {
    out: Out,
    args: &'a Dump,
    /// The first failure. Nothing is printed after it.
    failure: Option<Failure>,
}

impl Printer<'_> {
    fn print(&mut self, record: &Record) -> Result<(), Failure> {
        let (lsn, payload) = (record.lsn, &record.payload);
        if self.args.raw {
            return self.print_raw(payload);
        }
        match self.args.format {
            Format::Text => {
                self.out.bytes(format!("{lsn}\t").as_bytes())?;
                escape(payload, &mut |text| self.out.bytes(text.as_bytes()))?;
            }
            Format::Hex => {
                self.out.bytes(format!("{lsn}\t").as_bytes())?;
                self.print_hex(payload)?;
            }
            Format::Json => self.print_json(lsn, payload)?,
        }
        self.out.bytes(b"\n")
    }

    fn print_json(&mut self, lsn: Lsn, payload: &[u8]) -> Result<(), Failure> {
        let head = format!("{{\"len\":{},\"lsn\":{lsn},", payload.len());
        self.out.bytes(head.as_bytes())?;
        if let Ok(text) = std::str::from_utf8(payload) {
            self.out.bytes(b"\"text\":")?;
            let written = serde_json::to_writer(self.out.writer(), text);
            written.map_err(|error| Failure::Output(error.into()))?;
        } else {
            self.out.bytes(b"\"hex\":\"")?;
            self.print_hex(payload)?;
            self.out.bytes(b"\"")?;
        }
        self.out.bytes(b"}")
    }

    fn print_hex(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let mut pieces = payload.chunks(PIECE_LEN);
        pieces.try_for_each(|piece| self.out.bytes(hex(piece).as_bytes()))
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

/// How often a locked log is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
