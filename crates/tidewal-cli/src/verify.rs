//! `tidewal verify`

use std::process::ExitCode;

use tidewal::Error;
use tidewal::tools::{Depth, Ending, LogDir, Survey};

use crate::cli::Verify;
use crate::display::{count, quoted, size};
use crate::failure::{Failure, newer_version};
use crate::findings::{check_is_log, show_corruptions, status};
use crate::json;
use crate::output::{Bar, Out};
use crate::raft::{self, Owner, RaftLook};

pub fn run(args: &Verify) -> Result<ExitCode, Failure> {
    check_is_log(&args.dir)?;
    let dir = LogDir::new(&args.dir);
    let mut look = RaftLook::new(Bar::new("verifying"));
    let survey = dir.survey_with(Depth::Everything, &mut look)?;
    let owner = look.owner();
    drop(look);
    let mut out = Out::new();
    if args.json {
        out.line(&format!("{:#}", json::survey(&survey, &[])))?;
    } else {
        show_corruptions(&mut out, &survey)?;
        show_verdict(&mut out, &survey, owner)?;
    }
    out.flush()?;
    Ok(status(&survey))
}

fn show_verdict(out: &mut Out, survey: &Survey, owner: Owner) -> Result<(), Failure> {
    let paint = out.paint;
    let read = format!(
        "{} in {}, {} of payload",
        count(survey.records(), "record"),
        count(survey.segments.len() as u64, "segment"),
        size(survey.payload_bytes())
    );
    if !survey.is_sound() {
        let places = survey.corruptions.len() as u64 + survey.corruptions_left_out;
        let found = match (places, survey.read_errors.len() as u64) {
            (0, unread) => format!("{} not read", count(unread, "file")),
            (places, _) => count(places, "damaged place"),
        };
        out.line(&format!(
            "{} {found}. {read} can be read",
            paint.bad("not sound:")
        ))?;
        return out.line(&format!("next: {}", next_step(survey, owner)));
    }
    if survey.segments.is_empty() {
        return out.line(&format!(
            "empty: there is no segment in {}. A log that lost all its files looks the same",
            survey.dir.display()
        ));
    }
    out.line(&format!(
        "{} {read}, {}",
        paint.good("sound:"),
        span(survey)
    ))?;
    match &survey.ending {
        Some(Ending::TornTail(tail)) => out.line(&format!(
            "not closed, as after a crash (no damage): {} at byte {} of the newest segment ({})",
            tail.reason,
            tail.offset,
            tail.reason.label()
        )),
        _ => Ok(()),
    }
}

/// A repair must be able to read everything that it keeps. A later version is never answered with a repair.
fn next_step(survey: &Survey, owner: Owner) -> String {
    let later = survey.read_errors.iter().find_map(|error| match error {
        Error::Unsupported { reason, .. } => Some(newer_version(*reason)),
        _ => None,
    });
    if let Some(next) = later {
        return next;
    }
    let repair = format!(
        "restore a backup or a replica. If there is none: tidewal repair {}",
        quoted(&survey.dir)
    );
    match owner {
        _ if !survey.read_errors.is_empty() => {
            "find out why these files cannot be read, and verify again".into()
        }
        Owner::Raft => raft::HINT.into(),
        Owner::Unknown => format!("{repair}. {}", raft::UNKNOWN),
        Owner::Other => repair,
    }
}

fn span(survey: &Survey) -> String {
    match survey.end >= survey.oldest {
        true => format!("LSN {} to {}", survey.oldest, survey.end),
        false => "empty".into(),
    }
}
