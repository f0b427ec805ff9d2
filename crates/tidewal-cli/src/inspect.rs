//! `tidewal inspect`

use std::path::Path;
use std::process::ExitCode;

use tidewal::tools::{Depth, Ending, LockOwner, LogDir, SegmentSurvey, Survey};
use tidewal::{Error, Lsn, Result};

use crate::cli::Inspect;
use crate::display::{columns, count, quoted, size};
use crate::failure::Failure;
use crate::findings::{check_is_log, known_end, show_corruptions, status};
use crate::json;
use crate::output::{Bar, Out};

pub fn run(args: &Inspect) -> Result<ExitCode, Failure> {
    check_is_log(&args.dir)?;
    let survey = look(&args.dir)?;
    // After the survey, which holds the lock itself.
    let lock_owners = LogDir::new(&args.dir).lock_owners()?;
    let mut out = Out::new();
    if args.json {
        out.line(&format!("{:#}", json::survey(&survey, &lock_owners)))?;
    } else {
        show(&mut out, &survey, &lock_owners)?;
    }
    out.flush()?;
    Ok(status(&survey))
}

/// Reads the newest segment, or the headers if the log is open for appending.
fn look(dir: &Path) -> Result<Survey> {
    let dir = LogDir::new(dir);
    let looked = dir.survey_with(Depth::Newest, &mut Bar::new("reading"));
    match looked {
        Err(Error::Locked { .. }) => dir.survey(Depth::Headers),
        looked => looked,
    }
}

fn show(out: &mut Out, survey: &Survey, lock_owners: &[LockOwner]) -> Result<(), Failure> {
    let paint = out.paint;
    out.line(&paint.strong(&survey.dir.display().to_string()))?;
    for (name, value) in facts(survey, lock_owners) {
        out.line(&format!("  {name:10} {value}"))?;
    }
    show_segments(out, &survey.segments)?;
    if !survey.stale_segments.is_empty() {
        out.line("\nTruncated. Opening the log removes them:")?;
        show_segments(out, &survey.stale_segments)?;
    }
    if !survey.is_sound() {
        out.line("")?;
    }
    show_corruptions(out, survey)?;
    if survey.segments.len() > 1 && !survey.in_use {
        out.line(&format!("\n{}", paint.faint(&what_was_read(survey))))?;
    }
    Ok(())
}

fn what_was_read(survey: &Survey) -> String {
    let newest = survey.segments.last();
    let said = match newest.is_some_and(|newest| newest.records.is_some()) {
        true => "were read. To read all of them:",
        false => "could not be read. To read everything else:",
    };
    format!(
        "The records of the newest segment {said} tidewal verify {}",
        quoted(&survey.dir)
    )
}

fn facts(survey: &Survey, lock_owners: &[LockOwner]) -> Vec<(&'static str, String)> {
    let mut facts = vec![("records", records(survey))];
    facts.push(("ends", ending(survey)));
    facts.push(("durable", durable(survey)));
    let bytes = survey.segments.iter().map(|segment| segment.len).sum();
    let files = count(survey.segments.len() as u64, "segment");
    facts.push(("size", format!("{files}, {}", size(bytes))));
    if !survey.spares.is_empty() {
        facts.push((
            "in reserve",
            count(survey.spares.len() as u64, "spare file"),
        ));
    }
    if !survey.unknown_files.is_empty() {
        facts.push(("unknown", survey.unknown_files.join(", ")));
    }
    facts.push(("open", lock_owners_text(survey, lock_owners)));
    facts
}

fn records(survey: &Survey) -> String {
    let oldest = survey.oldest;
    let Some(end) = known_end(survey) else {
        let proven = survey.proven;
        return match proven >= oldest {
            true => format!("LSN {oldest} to {proven} or more: how the log ends cannot be read"),
            false => "not known: how the log ends cannot be read".into(),
        };
    };
    match (end >= oldest, survey.in_use) {
        (true, true) => format!("LSN {oldest} to {end} or more"),
        (true, false) => format!("LSN {oldest} to {end}"),
        (false, true) => "not known while the log is open".into(),
        (false, false) => format!("none. The next one gets LSN {oldest}"),
    }
}

/// The newest syncs are recorded only by a later write. Nothing is lost by that: opening the log
/// syncs what can be read.
fn durable(survey: &Survey) -> String {
    let proven = survey.proven;
    let end = known_end(survey).filter(|_| survey.is_sound() && !survey.in_use);
    match end {
        None if proven == Lsn::ZERO => "not known".into(),
        None => format!("at least up to LSN {proven}"),
        Some(end) if end < survey.oldest => "nothing to sync".into(),
        Some(end) if end <= proven => format!("up to LSN {proven}, the end"),
        Some(_) if proven < survey.oldest => {
            "no sync is recorded yet. Opening the log syncs all records".into()
        }
        Some(end) => format!(
            "recorded up to LSN {proven}. Opening the log syncs LSN {} to {end}",
            proven.next()
        ),
    }
}

fn ending(survey: &Survey) -> String {
    match &survey.ending {
        Some(Ending::Empty) => "there is no segment yet".into(),
        Some(Ending::Closed) => "closed".into(),
        Some(Ending::TornTail(tail)) => format!(
            "not closed, as after a crash (no damage): {} at byte {} of the newest segment ({})",
            tail.reason,
            tail.offset,
            tail.reason.label()
        ),
        _ if survey.in_use => "not known: the log is open for appending".into(),
        _ if survey.corruptions.is_empty() => "not known, see below".into(),
        _ => "damaged, see below".into(),
    }
}

fn lock_owners_text(survey: &Survey, lock_owners: &[LockOwner]) -> String {
    let known: Vec<_> = lock_owners.iter().map(ToString::to_string).collect();
    match (known.is_empty(), survey.in_use) {
        (false, _) => known.join(", "),
        (true, true) => "for appending, by a process that the system does not name".into(),
        (true, false) => "no".into(),
    }
}

fn show_segments(out: &mut Out, segments: &[SegmentSurvey]) -> Result<(), Failure> {
    if segments.is_empty() {
        return Ok(());
    }
    let header = ["segment", "first", "last", "size", "statement"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header.to_vec())
        .chain(segments.iter().map(row))
        .collect();
    out.line("")?;
    let paint = out.paint;
    for (index, line) in columns(&rows).iter().enumerate() {
        let line = if index == 0 {
            paint.faint(line)
        } else {
            line.clone()
        };
        out.line(&line)?;
    }
    Ok(())
}

fn row(segment: &SegmentSurvey) -> Vec<String> {
    let statement = segment.statement.map_or_else(
        || {
            if segment.header.is_some() {
                "none"
            } else {
                "unreadable header"
            }
            .to_owned()
        },
        |statement| format!("{} {}", statement.kind.name(), statement.lsn),
    );
    let last = match segment.last {
        Some(last) if last >= segment.base => last.to_string(),
        Some(_) => "none".into(),
        None => "?".into(),
    };
    let name = segment.file.file_name().unwrap_or_default();
    vec![
        name.to_string_lossy().into_owned(),
        segment.base.to_string(),
        last,
        size(segment.len),
        statement,
    ]
}
