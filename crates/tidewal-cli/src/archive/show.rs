//! `tidewal archive show` and `tidewal archive verify`

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};
use tidewal::Lsn;
use tidewal::archive::{self, Contents};

use crate::archive::args::Look;
use crate::archive::failure;
use crate::archive::store::Address;
use crate::failure::Failure;
use crate::look::{Out, columns, count, size};
use crate::wait::wait_for_network;

pub fn run(args: &Look) -> Result<ExitCode, Failure> {
    print(&read(args, false)?, args, None)
}

pub fn verify(args: &Look) -> Result<ExitCode, Failure> {
    print(
        &read(args, true)?,
        args,
        Some("every record in it was read"),
    )
}

/// The manifest, and every record if `all` are to be read.
fn read(args: &Look, all: bool) -> Result<Contents, Failure> {
    wait_for_network(async {
        let place = args.store.open()?;
        let contents = match all {
            true => archive::verify(place.store, &place.prefix).await,
            false => archive::contents(place.store, &place.prefix).await,
        };
        contents.map_err(|error| failure::of(error, &args.store))
    })
}

fn print(contents: &Contents, args: &Look, verdict: Option<&str>) -> Result<ExitCode, Failure> {
    let mut out = Out::new();
    show(&mut out, contents, &args.store, args.json)?;
    if let (Some(verdict), false) = (verdict, args.json) {
        let good = out.paint.good("sound:");
        out.line(&format!("{good} {verdict}"))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn show(out: &mut Out, contents: &Contents, store: &Address, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return out.line(&format!("{:#}", to_json(contents, store)));
    }
    out.line(&out.paint.strong(&store.to_string()))?;
    let facts = [
        ("records", records(contents)),
        ("gaps", gaps(contents)),
        ("times", times(contents)),
        (
            "size",
            format!(
                "{}, {}",
                count(contents.segments, "segment"),
                size(contents.bytes)
            ),
        ),
    ];
    let rows = facts.map(|(name, value)| vec![format!("  {name}"), value]);
    columns(&rows).iter().try_for_each(|line| out.line(line))
}

fn records(contents: &Contents) -> String {
    match contents.oldest == Lsn::ZERO {
        true => "none".into(),
        false => format!("LSN {} to {}", contents.oldest, contents.end),
    }
}

fn gaps(contents: &Contents) -> String {
    let gaps = contents.gaps.iter();
    let texts: Vec<_> = gaps
        .map(|gap| format!("LSN {} to {}", gap.start(), gap.end()))
        .collect();
    match texts.is_empty() {
        true => "none".into(),
        false => texts.join(", "),
    }
}

fn times(contents: &Contents) -> String {
    match &contents.times {
        Some(times) => format!("{} to {}", at(*times.start()), at(*times.end())),
        None => "none".into(),
    }
}

/// A point in time, as `--until-time` takes it.
pub fn at(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn to_json(contents: &Contents, store: &Address) -> Value {
    let is_empty = contents.oldest == Lsn::ZERO;
    let gaps = contents.gaps.iter();
    json!({
        "store": store.to_string(),
        "oldest": (!is_empty).then(|| contents.oldest.get()),
        "end": (!is_empty).then(|| contents.end.get()),
        "segments": contents.segments,
        "bytes": contents.bytes,
        "gaps": gaps.map(|gap| [gap.start().get(), gap.end().get()]).collect::<Vec<_>>(),
        "earliest": contents.times.as_ref().map(|times| at(*times.start())),
        "latest": contents.times.as_ref().map(|times| at(*times.end())),
    })
}
