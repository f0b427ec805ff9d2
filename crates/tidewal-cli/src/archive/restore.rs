//! `tidewal restore`

use std::process::ExitCode;

use serde_json::{Value, json};
use tidewal::Lsn;
use tidewal_archive::{Error, RestoreTarget, Restored};

use crate::archive::args::Restore;
use crate::archive::failure;
use crate::archive::show::at;
use crate::display::{count, quoted, size};
use crate::failure::{Failure, with_sources};
use crate::output::Out;
use crate::wait::wait_for_network;

pub fn run(args: &Restore) -> Result<ExitCode, Failure> {
    let restored = wait_for_network(restore(args))?;
    let mut out = Out::new();
    if args.json {
        out.line(&format!("{:#}", to_json(&restored, args)))?;
    } else {
        show(&mut out, &restored, args)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(args: &Restore) -> Result<Restored, Failure> {
    args.store.check_apart_from(&args.dir)?;
    let archive = args.store.open()?;
    let restored = match args.from {
        Some(from) => {
            let from = Lsn::new(from);
            archive.restore_from(&args.dir, from, until(args)).await
        }
        None => archive.restore(&args.dir, until(args)).await,
    };
    restored.map_err(|error| match error {
        Error::Log(error @ tidewal::Error::Io(_)) => Failure::Other(
            with_sources(&error),
            "check the path of the directory to be created, and the disk that it is on".into(),
        ),
        error => failure::of(error, &args.store),
    })
}

fn until(args: &Restore) -> RestoreTarget {
    match (args.until_lsn, args.until_time) {
        (Some(lsn), _) => RestoreTarget::Lsn(Lsn::new(lsn)),
        (None, Some(time)) => RestoreTarget::Time(time),
        (None, None) => RestoreTarget::End,
    }
}

fn show(out: &mut Out, restored: &Restored, args: &Restore) -> Result<(), Failure> {
    let good = out.paint.good("restored:");
    let dir = quoted(&args.dir);
    let records = match restored.end >= restored.oldest {
        true => format!("LSN {} to {}", restored.oldest, restored.end),
        false => format!("no record (the next one gets LSN {})", restored.oldest),
    };
    out.line(&format!(
        "{good} {records} in {dir}. Read {}, {}",
        count(restored.segments, "segment"),
        size(restored.bytes)
    ))?;
    match restored.time {
        Some(time) => out.line(&format!("all of it was durable at {}", at(time))),
        None => Ok(()),
    }
}

fn to_json(restored: &Restored, args: &Restore) -> Value {
    let is_empty = restored.end < restored.oldest;
    json!({
        "dir": args.dir.to_string_lossy(),
        "oldest": (!is_empty).then(|| restored.oldest.get()),
        "end": (!is_empty).then(|| restored.end.get()),
        "segments": restored.segments,
        "bytes": restored.bytes,
        "time": restored.time.map(at),
    })
}
