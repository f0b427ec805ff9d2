//! `tidewal archive show` and `tidewal archive verify`

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};
use tidewal::Lsn;
use tidewal_archive::{BadObject, Contents, Verified};

use crate::archive::args::Look;
use crate::archive::failure;
use crate::archive::store::Address;
use crate::display::{columns, count, size};
use crate::failure::Failure;
use crate::output::Out;
use crate::wait::wait_for_network;

pub fn run(args: &Look) -> Result<ExitCode, Failure> {
    let contents = wait_for_network(async {
        let contents = args.store.open()?.contents().await;
        contents.map_err(|error| failure::of(error, &args.store))
    })?;
    let mut out = Out::new();
    match args.json {
        true => out.line(&format!("{:#}", to_json(&contents, &args.store)))?,
        false => show(&mut out, &contents, &args.store)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub fn verify(args: &Look) -> Result<ExitCode, Failure> {
    let verified = wait_for_network(async {
        let verified = args.store.open()?.verify().await;
        verified.map_err(|error| failure::of(error, &args.store))
    })?;
    let mut out = Out::new();
    match args.json {
        true => out.line(&format!("{:#}", verified_json(&verified, args)))?,
        false => show_verified(&mut out, &verified, args)?,
    }
    out.flush()?;
    if !verified.is_sound() {
        let text = format!(
            "{} in {}",
            count(verified.bad.len() as u64, "bad object"),
            args.store
        );
        return Err(failure::of_bad_objects(text, &verified.bad));
    }
    Ok(ExitCode::SUCCESS)
}

fn show_verified(out: &mut Out, verified: &Verified, args: &Look) -> Result<(), Failure> {
    show(out, &verified.contents, &args.store)?;
    for bad in &verified.bad {
        let error = args.store.with_name(bad.error.to_string(), &bad.object);
        let line = format!("{} {error}. {}", out.paint.bad("bad:"), lost(bad));
        out.line(&line)?;
    }
    if verified.is_sound() {
        let good = out.paint.good("sound:");
        out.line(&format!("{good} every record in it was read"))?;
    }
    Ok(())
}

fn lost(bad: &BadObject) -> String {
    match bad.last >= bad.first {
        true => format!("It held LSN {} to {}", bad.first, bad.last),
        false if bad.last == Lsn::ZERO => {
            format!("It may have held records from LSN {} on", bad.first)
        }
        false => "It held no record".into(),
    }
}

fn verified_json(verified: &Verified, args: &Look) -> Value {
    let mut all = to_json(&verified.contents, &args.store);
    let bad = verified.bad.iter().map(|bad| {
        json!({
            "object": bad.object,
            "error": bad.error.to_string(),
            "first": bad.first.get(),
            "last": (bad.last >= bad.first).then(|| bad.last.get()),
        })
    });
    all["bad"] = bad.collect();
    all
}

fn show(out: &mut Out, contents: &Contents, store: &Address) -> Result<(), Failure> {
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
    let expired = match contents.expired {
        Lsn::ZERO => String::new(),
        expired => format!(". Those up to {expired} were pruned or have expired"),
    };
    match contents.oldest == Lsn::ZERO {
        true => format!("none{expired}"),
        false => format!("LSN {} to {}{expired}", contents.oldest, contents.end),
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

/// A point in time, as `--until-time` takes it. A clock that was far ahead may have recorded one that this format
/// does not have.
pub fn at(time: SystemTime) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    match write!(text, "{}", humantime::format_rfc3339_millis(time)) {
        Ok(()) => text,
        Err(_) => "after the year 9999".into(),
    }
}

fn to_json(contents: &Contents, store: &Address) -> Value {
    let is_empty = contents.oldest == Lsn::ZERO;
    let gaps = contents.gaps.iter();
    json!({
        "store": store.to_string(),
        "oldest": (!is_empty).then(|| contents.oldest.get()),
        "end": (!is_empty).then(|| contents.end.get()),
        "expired": (contents.expired != Lsn::ZERO).then(|| contents.expired.get()),
        "segments": contents.segments,
        "bytes": contents.bytes,
        "gaps": gaps.map(|gap| [gap.start().get(), gap.end().get()]).collect::<Vec<_>>(),
        "earliest": contents.times.as_ref().map(|times| at(*times.start())),
        "latest": contents.times.as_ref().map(|times| at(*times.end())),
    })
}
