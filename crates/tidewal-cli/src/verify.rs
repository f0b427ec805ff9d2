//! `tidewal verify`

use std::process::ExitCode;

use tidewal::Error;
use tidewal::tools::{Depth, Ending, LogDir, Survey};

use crate::cli::Verify;
use crate::failure::{DAMAGED, FAILED, Failure};
use crate::inspect::show_damages;
use crate::json;
use crate::look::{Bar, Out, count, quoted, size};
use crate::raft::{self, RaftLook};
use crate::wait::wait_for;

pub fn run(args: &Verify) -> Result<ExitCode, Failure> {
    let dir = LogDir::new(&args.dir);
    let mut look = RaftLook::new(Bar::new("verifying"));
    let survey = wait_for(dir.survey(Depth::Everything, &mut look))?;
    let is_raft = look.is_raft();
    drop(look);
    check_is_log(&survey)?;
    let mut out = Out::new();
    if args.json {
        out.line(&format!("{:#}", json::survey(&survey, &[])))?;
    } else {
        show_damages(&mut out, &survey)?;
        show_verdict(&mut out, &survey, is_raft)?;
    }
    out.flush()?;
    Ok(status(&survey))
}

/// Damage is certain; what was not read may be damaged too.
pub fn status(survey: &Survey) -> ExitCode {
    match (survey.obstacles.is_empty(), survey.damages.is_empty()) {
        (false, _) => ExitCode::from(FAILED),
        (true, false) => ExitCode::from(DAMAGED),
        (true, true) => ExitCode::SUCCESS,
    }
}

/// A name that was mistyped must not look like a log that is in order.
pub fn check_is_log(survey: &Survey) -> Result<(), Failure> {
    let has_files = !survey.segments.is_empty() || !survey.leftovers.is_empty();
    if has_files || survey.dir.join("LOCK").exists() {
        return Ok(());
    }
    Err(Failure::Other(
        format!(
            "{} is not a log's directory: there is no LOCK and no segment",
            survey.dir.display()
        ),
        "name the directory that the log's files are in".into(),
    ))
}

fn show_verdict(out: &mut Out, survey: &Survey, is_raft: bool) -> Result<(), Failure> {
    let paint = out.paint;
    let read = format!(
        "{} in {}, {} of payload",
        count(survey.records(), "record"),
        count(survey.segments.len() as u64, "segment"),
        size(survey.payload_bytes())
    );
    if !survey.is_sound() {
        let places = survey.damages.len() as u64 + survey.damages_left_out;
        let found = match (places, survey.obstacles.len() as u64) {
            (0, unread) => format!("{} not read", count(unread, "file")),
            (places, _) => count(places, "damaged place"),
        };
        out.line(&format!(
            "{} {found}; {read} can be read",
            paint.bad("not sound:")
        ))?;
        return match is_raft && survey.obstacles.is_empty() {
            true => out.line(raft::HINT),
            false => out.line(&next_step(survey)),
        };
    }
    if survey.segments.is_empty() {
        return out.line(&format!(
            "empty: there is no segment in {}; a log that lost all its files looks the same",
            survey.dir.display()
        ));
    }
    out.line(&format!(
        "{} {read}, {}",
        paint.good("sound:"),
        span(survey)
    ))?;
    match &survey.ending {
        Some(Ending::Cut(cut)) => out.line(&format!(
            "it was not closed, which is no damage: {} at byte {} of the newest segment ({})",
            cut.reason,
            cut.offset,
            cut.reason.label()
        )),
        _ => Ok(()),
    }
}

/// A repair has to read everything, and to know what it keeps.
fn next_step(survey: &Survey) -> String {
    let is_later = |error: &Error| matches!(error, Error::Unsupported { .. });
    match survey.obstacles.is_empty() {
        _ if survey.obstacles.iter().any(is_later) => {
            "use a newer version of tidewal: this one can neither read nor repair what a later one has \
             written"
                .into()
        }
        true => format!(
            "see what can be done about it: tidewal repair {}",
            quoted(&survey.dir)
        ),
        false => "see why these files cannot be read, and verify again".into(),
    }
}

fn span(survey: &Survey) -> String {
    match survey.end >= survey.oldest {
        true => format!("LSN {} to {}", survey.oldest, survey.end),
        false => "empty".into(),
    }
}
